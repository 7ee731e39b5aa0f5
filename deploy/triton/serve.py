"""Run Triton with the repository beside this file; see README.md there.

Takes Triton from the wheel `nvidia-pytriton` when this interpreter has it, else from its container
(/opt/tritonserver). Listens on 127.0.0.1, or elsewhere when TRITON_TOKEN is set: whoever may load
models on a Triton runs code there.

Environment: TRITON_ADDRESS (127.0.0.1), TRITON_GRPC_PORT (8001), TRITON_METRICS_PORT (8002, 0: no
metrics), TRITON_TOKEN_FILE or TRITON_TOKEN, and for TLS TRITON_TLS_CERTIFICATE and TRITON_TLS_KEY
(PEM files). Arguments go to tritonserver as they are.
"""

import importlib.util
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path

LOCAL = "127.0.0.1"
CONTAINER = Path("/opt/tritonserver")
RESTRICTED = "inference,model-repository,model-config,shared-memory,trace,logging"
"""What needs the token, where there is one; health, metadata and statistics do not."""
EXIT_SECONDS = 10


def main() -> None:
    """Become tritonserver."""
    try:
        options = options_of(os.environ)
        server, environment, backends = wheel_server() or container_server()
    except SystemExit as error:
        print(f"triton: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    repository = Path(__file__).parent / "repository"
    command = [
        str(server),
        f"--model-repository={repository}",
        f"--backend-directory={backends}",
        *options,
        *sys.argv[1:],
    ]
    os.execve(server, command, environment)


def token_of(environment: Mapping[str, str]) -> str:
    """What callers must show, from the file that is better for it or from a variable."""
    file = environment.get("TRITON_TOKEN_FILE")
    if not file:
        return environment.get("TRITON_TOKEN", "")
    try:
        return Path(file).read_text().strip()
    except OSError as error:
        raise SystemExit(f"TRITON_TOKEN_FILE: cannot read {file}: {error.strerror}") from None


def options_of(environment: Mapping[str, str]) -> list[str]:
    """Options of tritonserver, safe unless told otherwise."""
    address = environment.get("TRITON_ADDRESS", LOCAL)
    token = token_of(environment)
    metrics_port = environment.get("TRITON_METRICS_PORT", "8002")
    if address != LOCAL and not token:
        raise SystemExit(
            f"{address} can be reached from other machines, and who may load models runs code "
            "here: set TRITON_TOKEN"
        )
    options = [
        # Models come and go by the inference service's word, never by a file that appears.
        "--model-control-mode=explicit",
        # One model that comes or goes does not make the server unready for the others.
        "--strict-readiness=false",
        "--disable-auto-complete-config",
        "--allow-http=false",
        f"--grpc-address={address}",
        f"--grpc-port={environment.get('TRITON_GRPC_PORT', '8001')}",
        f"--exit-timeout-secs={EXIT_SECONDS}",
    ]
    if metrics_port == "0":
        options.append("--allow-metrics=false")
    else:
        options += [f"--metrics-address={address}", f"--metrics-port={metrics_port}"]
    certificate, key = (environment.get(f"TRITON_TLS_{of}", "") for of in ("CERTIFICATE", "KEY"))
    if bool(certificate) != bool(key):
        raise SystemExit("TLS takes both TRITON_TLS_CERTIFICATE and TRITON_TLS_KEY")
    if certificate:
        options += [
            "--grpc-use-ssl=true",
            f"--grpc-server-cert={certificate}",
            f"--grpc-server-key={key}",
        ]
    if token:
        options.append(f"--grpc-restricted-protocol={RESTRICTED}:token={token}")
    return options


def wheel_server() -> tuple[Path, dict[str, str], Path] | None:
    """The server of the wheel, an environment it runs in, and its backends; None without it."""
    found = importlib.util.find_spec("pytriton")
    if found is None or found.origin is None:
        return None
    package = Path(found.origin).parent
    home = package / "tritonserver"
    libraries = [package.parent / "nvidia_pytriton.libs", python_library_folder()]
    environment = dict(os.environ)
    # The backend's process takes the packages of the `python3` on its path.
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment.get('PATH', '')}"
    environment["VIRTUAL_ENV"] = sys.prefix
    environment["LD_LIBRARY_PATH"] = ":".join(map(str, libraries))
    return home / "bin" / "tritonserver", environment, backends_of(home)


def python_library_folder() -> Path:
    """Where the shared library of this Python is: the backend's process is linked against it."""
    name = f"libpython{sys.version_info[0]}.{sys.version_info[1]}.so.1.0"
    folders = [sysconfig.get_config_var("LIBDIR"), Path(sys.base_prefix) / "lib"]
    folders += [Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib/aarch64-linux-gnu")]
    for folder in folders:
        if folder and (Path(folder) / name).exists():
            return Path(folder)
    raise SystemExit(
        f"{name} is not here: this Python is built without a shared library, which Triton's Python "
        "backend needs. On Debian install libpython3.11; with pyenv build Python with "
        "PYTHON_CONFIGURE_OPTS=--enable-shared; Pythons that uv installs have it"
    )


def backends_of(home: Path) -> Path:
    """The Python backend with the process for this Python beside it, as Triton looks for it."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    backends = Path(sys.prefix) / "triton-backends"
    stub = home / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.exists():
        raise SystemExit(f"the wheel has no backend for Python {version}")
    if not backends.exists():
        # Made beside and moved: two servers that start together do not see half of it.
        with tempfile.TemporaryDirectory(dir=sys.prefix) as place:
            made = Path(place) / "backends"
            shutil.copytree(home / "backends" / "python", made / "python")
            shutil.copy2(stub, made / "python")
            if not backends.exists():
                made.rename(backends)
    return backends


def container_server() -> tuple[Path, dict[str, str], Path]:
    """The server of NVIDIA's container."""
    server = CONTAINER / "bin" / "tritonserver"
    if not server.exists():
        raise SystemExit(
            "there is no Triton here: use its container, or an environment with "
            "deploy/triton/server.txt (`make triton-test` makes one)"
        )
    return server, dict(os.environ), CONTAINER / "backends"


if __name__ == "__main__":
    main()
