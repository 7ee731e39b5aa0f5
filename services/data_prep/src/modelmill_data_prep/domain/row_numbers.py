"""Row numbers: the file and line of a row in one whole number, unique in its dataset.

In a dataset of one file it is the line. In one of several it is the file's number, from 1, times
`FILE_STEP`, plus the line: 2000000000007 is line 7 of the second file.
"""

FILE_STEP = 10**12
"""Above the lines of any file; with MAX_FILES, numbers stay below 2**53."""
MAX_FILES = 1_000


def file_and_line(row_number: int) -> tuple[int, int]:
    """Number of the file, 0 in a dataset of one; and the line."""
    return divmod(row_number, FILE_STEP)


def row_words(row_number: int) -> str:
    """For people, such as "line 7 of file 2"."""
    file, line = file_and_line(row_number)
    return f"line {line} of file {file}" if file else f"line {line}"
