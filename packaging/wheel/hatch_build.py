"""Says that the wheel is for one platform and every Python 3; auditwheel finds out which glibc that platform needs."""

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class OnePlatform(BuildHookInterface):
    def initialize(self, version, build_data):
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-linux_x86_64"
