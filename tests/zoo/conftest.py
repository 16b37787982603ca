from tests.zoo.misbehaving import server, small_disk  # noqa: F401
