"""Upgrade of a state folder to the layout of this mill."""
