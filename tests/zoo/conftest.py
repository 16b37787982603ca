from tests.zoo.misbehaving import server  # noqa: F401
