"""English sentences to measure text models with: 120 ordinary ones, of 5 to 26 words."""

from itertools import islice

_WHO = (
    "My sister", "The old teacher", "Nobody in the village", "A reporter from Madrid", "Doctor Silva",
    "The youngest of the four brothers",
)  # fmt: skip
_DID = (
    "bought three tickets to London.",
    "could not find the key, so the meeting started an hour late.",
    "asked why the trains were stopping in the middle of the night.",
    "has lived near the river since 1998.",
    "wrote a long letter about the war, but never sent it.",
    'said: "I will not sell the house for less than €250,000."',
    "was looking for a cheaper computer with at least 16 GB of memory.",
    "opened the window because it was too hot inside.",
    "believes that the new law will help small companies and their customers.",
    "slept badly.",
    "would have come earlier if the road had not been closed by the police.",
    "told the children a story about a fox, a crow and a piece of cheese.",
    "forgot to switch off the lights in the kitchen.",
    "paid the bill with a credit card and left without a word.",
    "studied chemistry in Berlin, then moved to Canada and opened a bakery.",
    "does not know whether the results are correct; they must be checked again.",
    "carried the heavy boxes up to the fifth floor.",
    "met the president of the company on 3 May 2021 at a conference on energy, water and climate in Lisbon.",
    "will call you tomorrow morning.",
    "watched the birds for hours, as though there were nothing more important in the world.",
)  # fmt: skip


def sentences(n: int) -> list[str]:
    """Return n sentences; beyond 120 they begin again."""
    whole = [f"{_WHO[(k + turn) % len(_WHO)]} {did}" for turn in range(len(_WHO)) for k, did in enumerate(_DID)]
    return list(islice((text for _ in range(n) for text in whole), n))
