"""Twins of clouds: an emulator of a cloud's API, and a machine of this computer for each instance made on it."""
