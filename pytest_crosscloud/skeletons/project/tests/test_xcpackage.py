"""xctitle keeps the contract that every project keeps."""

from pytest_crosscloud_xcpackage import crosscloud_projects

from pytest_crosscloud.testing import ProjectContract


class TestProject(ProjectContract):
    project = crosscloud_projects()[0]
