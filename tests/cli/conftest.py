from tests.hub.misbehaving import server  # noqa: F401
