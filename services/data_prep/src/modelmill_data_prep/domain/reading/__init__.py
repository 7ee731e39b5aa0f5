"""Reads files: splits them into blocks of raw rows in one process, which workers parse."""
