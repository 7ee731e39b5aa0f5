"""Child of `builders.run_scripts`: runs scripts as `python SCRIPT ARGUMENTS` would, in one process.

python run_scripts.py '[["SCRIPT", "ARGUMENT", ...], ...]'
"""

import gc
import io
import json
import runpy
import sys
from contextlib import redirect_stdout

from modelmill_service_kit.large_imports import UNUSED

# As the product's children import; what scripts import lives as long as they do.
sys.modules.update(dict.fromkeys((*UNUSED, "bitsandbytes")))  # type: ignore[arg-type]
gc.set_threshold(200_000, 20, 100)

found = []
for arguments in json.loads(sys.argv[1]):
    sys.argv, said = arguments, io.StringIO()
    with redirect_stdout(said):
        runpy.run_path(arguments[0], run_name="__main__")
    found.append(json.loads(said.getvalue().splitlines()[-1]))
print("\n" + json.dumps(found))
