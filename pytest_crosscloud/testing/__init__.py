"""For the tests of plugins: a test kit for clouds and projects."""
