from tests.hub.misbehaving import server, small_disk  # noqa: F401
