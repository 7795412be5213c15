"""The volume workflow: the default volume driver, which makes block volumes of a storage platform usable as paths."""
