"""Where data sets are kept, and how large the files may be that they come in."""

from helpers import project

DATA_FOLDER = project.DATA  # placed or downloaded files
EMBEDDED_FOLDER = DATA_FOLDER  # what is committed with the code

# The real files stay far below, packed and unpacked; a decompression bomb does not.
MOST_FILE_BYTES = 2**29
