"""pytest-crosscloud: build, provision, deploy and test cloud-native projects on every cloud.

What a plugin author needs is importable from here; everything else is private to the package.
"""

import pluggy

#: Marks a function of a plugin as the implementation of a ``crosscloud_*`` hook.
hookimpl = pluggy.HookimplMarker("crosscloud")

__all__ = ["hookimpl"]
