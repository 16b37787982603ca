"""What one looks at after training. Models are read from outside: no other part of the package imports this one."""
