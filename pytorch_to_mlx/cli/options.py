"""The one table of options: a parameter's name decides how it is spelled, and what its help says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Option:
    """help: the line in `--help`, unless the verb's `Args:` say more. short: other spellings. argument: positional."""

    help: str
    short: tuple[str, ...] = ()
    argument: bool = False


OPTIONS: dict[str, Option] = {
    # what goes in
    "source": Option("checkpoint: a file, a folder, a hub id 'org/name', or 'packaged:NAME'", argument=True),
    "audio": Option("audio file, or - for stdin", argument=True),
    "text": Option("text, or - for stdin", short=("-t",)),
    "hf_path": Option("where the original checkpoint is: a hub id, a folder, a file, or 'packaged:NAME'"),
    "mlx_path": Option("the converted folder"),
    "model": Option("a converted folder, a checkpoint, a hub id, or a name that `list` shows", short=("-m",)),
    "original": Option("what a folder of generated source was converted from", short=("--source",)),
    "family": Option("model family, when it cannot be told from the checkpoint"),
    "revision": Option("branch, tag or commit of the hub repository"),
    "ref_audio": Option("recording of the voice to follow"),
    "ref_text": Option("what is said in --ref-audio"),
    # what comes out
    "output": Option("file to write; - is stdout", short=("-o",)),
    "output_dir": Option("folder to write into", short=("-o",)),
    "output_format": Option("format of the files to write", short=("-f",)),
    "format": Option("wav, flac, ogg, opus, mp3 or raw; by default by the output's ending"),
    "force": Option("replace what is at the destination"),
    "check": Option("exit code 5 if it would not convert"),
    "play": Option("play the audio"),
    "stream": Option("give each piece as soon as it is ready"),
    # how to convert
    "allow_nonfinite": Option("keep weights that are NaN or infinite"),
    "dtype": Option("type of the stored weights"),
    "quantize": Option("store the weights in groups of few bits", short=("-q",)),
    "dequantize": Option("store quantized weights in full precision", short=("-d",)),
    "q_bits": Option("bits of a quantized weight, 8 if not given; implies -q"),
    "q_group_size": Option("weights that share one scale, 64 if not given; implies -q"),
    "q_activations": Option(
        "round what 8-bit layers read to 8 bits too: faster on a CPU; of the translators; implies -q"
    ),
    "variant": Option("which model it is, where its tensors do not say it: v0 or v1 of f5-tts"),
    "q_recipe": Option("mixture of bits by layer, of llama: mixed_2_6, mixed_3_4, mixed_3_6 or mixed_4_6; implies -q"),
    "extend": Option("Python file to run first: it registers ops and modules with pytorch_to_mlx.codegen"),
    "noise": Option("input: what a PyTorch module draws at random becomes an input of the model, drawn if not given"),
    # how to run
    "voice": Option("voice, or a blend such as 'a:0.6+b:0.4'", short=("-v",)),
    "speed": Option("speed of speech; 1 is normal, 2 twice as fast"),
    "lang_code": Option("language of the text; by default the voice's"),
    "language": Option("language of the speech; by default detected"),
    "instruct": Option("how to speak, in words"),
    "steps": Option("steps of the solver"),
    "cfg": Option("strength of classifier-free guidance"),
    "seed": Option("same seed, same output"),
    "temperature": Option("0 always takes the likeliest token", short=("--temp",)),
    "top_k": Option("sample among the K likeliest tokens"),
    "top_p": Option("sample among the likeliest tokens that make up this probability"),
    "max_tokens": Option("stop after this many tokens"),
    "beam_size": Option("hypotheses kept by beam search; 1 is greedy"),
    "task": Option("what to do with the speech"),
    "word_timestamps": Option("find the time of every word"),
    "initial_prompt": Option("text to take as having been said before"),
    "vad_filter": Option("leave out what is not speech"),
    "threshold": Option("score from which something counts as found"),
    # how to measure
    "against": Option("reference to measure beside"),
    "runs": Option("measured runs; the median is reported"),
    "workloads": Option("only these workloads (may be given several times)"),
    "profile": Option("also show where the time goes, by stage and by op"),
    "tolerance": Option("row of the tolerance table"),
    "inputs": Option("how many inputs, or a file with one on each line"),
    "cases": Option("only these cases (may be given several times)"),
    "threads": Option("CPU threads; by default all"),
    "fresh": Option("also measure load time and peak memory, each in a process of its own"),
}
