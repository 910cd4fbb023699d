"""Write the README.md of a converted folder: the hub's metadata, where the weights come from, how to check them."""

from typing import TYPE_CHECKING, Any

from ..card import ModelCard, Published

if TYPE_CHECKING:
    from ..checkpoint import Checkpoint


def source_files(checkpoint: "Checkpoint") -> list[dict[str, Any]]:
    """Return name, size and sha256 of every file of a checkpoint, read through the descriptors that are open.

    Raises: FormatError if a file has changed since it was opened.
    """
    return [{"name": file.path.name, "bytes": file.size, "sha256": file.sha256()} for file in checkpoint.files]


def readme(about: dict[str, Any], card: ModelCard, published: Published | None) -> bytes:
    """Return the README.md's bytes; `about` is what conversion.json holds.

    published: the checkpoint on the hub that was converted, for its licence; None if it is not a published one.
    """
    # The source's name comes from outside and must not end the code span that it stands in.
    source = " ".join(str(about["source"]).split()).replace("`", "'").replace("|", "/")
    head = ["---", "library_name: mlx", f"pipeline_tag: {card.task}", "tags:", "- mlx"]
    licence = f"license: {published.licence.lower()}" if published else "license: other"
    head += [licence, *([f"base_model: {published.hub_id}"] if published else []), "---"]
    quantization = about.get("quantization")
    precision = f"{quantization['bits']} bits in groups of {quantization['group_size']}" if quantization else "none"
    files = [f"| {f['name']} | {f['bytes']} | {f['sha256']} |" for f in about["source_files"]]
    lines = [
        *head,
        "",
        f"# {source} for MLX",
        "",
        f"{card.summary.rstrip('.')}.",
        "",
        f"Converted by {about['converter']} from `{source}`.",
        "",
        "| | |",
        "|---|---|",
        f"| family | {card.name} |",
        f"| dtype | {about['dtype']} |",
        f"| quantization | {precision} |",
        f"| weights | {about['bytes']} bytes |",
        f"| tensors in the source | {about['tensors']} |",
        f"| left out on purpose | {len(about['dropped'])} (conversion.json says why) |",
        "",
        "Prove that it computes what the original computes:",
        "",
        "```",
        f"pytorch-to-mlx {card.name} validate --hf-path '{source}' --mlx-path .",
        "```",
        "",
        *(["| source file | bytes | sha256 |", "|---|---|---|", *files, ""] if files else []),
    ]
    return ("\n".join(lines)).encode("utf-8", "backslashreplace")
