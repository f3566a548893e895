"""xctitle keeps the contract that every cloud keeps."""

from pytest_crosscloud_xcpackage import crosscloud_clouds

from pytest_crosscloud.testing import CloudContract


class TestCloud(CloudContract):
    cloud = crosscloud_clouds()[0]

    # Types of resources that cannot carry tags or labels, each with a reason why that is no loss.
    untagged = ()
