def setup(app):
    return dict(parallel_read_safe=True)
