"""Rules about the parameters of an order whose flags have been moved into its fields.

Two kinds: what holds for every model, and what holds for a family. A value that asks for nothing (`draft: false`) is
never a fault, even where the parameter is not known.
"""

from collections.abc import Iterator, Mapping

from service.domain.content import Finding, Layout
from service.domain.errors import Fault
from service.domain.families import ADAPTIVE, RATIOS, Family, Mode
from service.domain.order import Order

EXPIRES_S = (3_600, 259_200)
FRAMES = range(29, 290, 4)
"""25 + 4n."""
SEEDS = (-1, 2**32 - 1)
SEED_DOUBTFUL = 2**31 - 1
"""The newest text of the documents ends here, all others at 2³² − 1."""
PRIORITIES = (0, 9)
SAFETY_IDENTIFIER_CHARACTERS = 64
DRAFT_RESOLUTION = "480p"

VALUES: Mapping[str, tuple[str, ...]] = {
    "service_tier": ("default", "flex"),
    "output_format": ("mp4", "mov"),
    "omni_reference_task_type": ("auto", "reference", "edit", "extend"),
}
ASKS_NOTHING: Mapping[str, object] = {
    "generate_audio": False,
    "camera_fixed": False,
    "draft": False,
    "priority": 0,
    "service_tier": "default",
    "output_format": "mp4",
    "omni_reference_task_type": "auto",
}
REUSED_FROM_DRAFT = ("generate_audio", "seed", "ratio", "duration", "frames", "camera_fixed")

_SHOWN = 40
"""Characters of a caller's value that a message repeats."""


def findings(order: Order, family: Family | None, seen: Layout) -> Iterator[Finding]:
    yield from _for_all(order)
    yield from _of_combinations(order, seen)
    if family is not None:
        yield from _of_family(order, family)
        yield from _of_picture(order, family, seen)
        yield from _of_length(order, family)
        if family.bound_to_input:
            yield from _of_tasks(order, family, seen)


def _for_all(order: Order) -> Iterator[Finding]:
    if order.seed is not None and not SEEDS[0] <= order.seed <= SEEDS[1]:
        yield Fault("seed", f"has to be from {SEEDS[0]} to {SEEDS[1]}.")
    elif order.seed is not None and order.seed > SEED_DOUBTFUL:
        yield f"seed is over {SEED_DOUBTFUL}, where the newest documents end."
    if order.execution_expires_after is not None and not EXPIRES_S[0] <= order.execution_expires_after <= EXPIRES_S[1]:
        yield Fault("execution_expires_after", f"has to be from {EXPIRES_S[0]} to {EXPIRES_S[1]} seconds.")
    if order.priority is not None and not PRIORITIES[0] <= order.priority <= PRIORITIES[1]:
        yield Fault("priority", f"has to be from {PRIORITIES[0]} to {PRIORITIES[1]}.")
    if order.frames is not None and order.frames not in FRAMES:
        yield Fault("frames", f"has to be 25 + 4n, from {FRAMES[0]} to {FRAMES[-1]}: 29, 33, 37, …")
    identifier = order.safety_identifier
    if identifier is not None and not (identifier.isascii() and len(identifier) <= SAFETY_IDENTIFIER_CHARACTERS):
        yield Fault(
            "safety_identifier", f"has to be ASCII of at most {SAFETY_IDENTIFIER_CHARACTERS} characters; a hash is best."
        )
    for name, values in VALUES.items():
        if getattr(order, name) not in (None, *values):
            yield Fault(name, f"has to be {' or '.join(values)}.")
    for index, tool in enumerate(order.tools):
        if tool != "web_search":
            yield f"tools[{index}].type is not documented; web_search is."


def _of_combinations(order: Order, seen: Layout) -> Iterator[Finding]:
    if order.frames is not None and order.duration is not None:
        yield Fault("frames", "excludes duration: send one of them.")
    if order.draft:
        if order.service_tier == "flex":
            yield Fault("service_tier", "flex excludes draft: drafts are made at the default tier.")
        if order.return_last_frame:
            yield Fault("return_last_frame", "excludes draft: ask for it with the full video.")
        if order.resolution is None:
            yield f"A draft is made at {DRAFT_RESOLUTION}: say so in resolution, whose default is another."
        elif order.resolution != DRAFT_RESOLUTION:
            yield Fault("resolution", f"of a draft has to be {DRAFT_RESOLUTION}.")
    if order.priority and order.service_tier == "flex":
        yield Fault("priority", "excludes service_tier flex, which waits by its nature: keep one of them.")
    if order.tools and seen.mode is not Mode.TEXT:
        yield "tools beside pictures, videos or audio are not documented: web_search is, for text alone."
    if seen.mode is Mode.DRAFT:
        if order.draft:
            yield Fault("draft", "cannot be made of a draft_task: leave draft out to render it in full.")
        for name in REUSED_FROM_DRAFT:
            if getattr(order, name) is not None:
                yield f"{name} is taken from the draft; what is said here may be ignored."


def _of_family(order: Order, family: Family) -> Iterator[Finding]:
    for name, nothing in ASKS_NOTHING.items():
        value = getattr(order, name)
        if value is None or name in family.takes:
            continue
        if value != nothing:
            yield Fault(name, f"is not supported by {family.name}: leave it out.")
        elif name in ("camera_fixed", "service_tier"):
            # Ark answers UnsupportedParameter for these on 2.x; whether for their harmless values too is not known.
            yield f"{name} is no parameter of {family.name}: leave it out, a strict provider may refuse it."
    if order.tools and "tools" not in family.takes:
        yield Fault("tools", f"are not supported by {family.name}: leave them out.")
    if order.return_last_frame and family.last_frame_doubtful:
        yield f"{family.name} may not return a last frame."
    if family.ends is not None:
        yield f"{family.name} was to be retired on {family.ends}, by copies of its vendor's pages: it may be refused."


def _of_picture(order: Order, family: Family, seen: Layout) -> Iterator[Finding]:
    resolutions = family.resolutions
    if seen.mode is Mode.REFERENCE and family.reference_resolutions is not None:
        resolutions = family.reference_resolutions
    if order.resolution not in (None, *resolutions):
        why = " with references" if order.resolution in family.resolutions else ""
        yield Fault(
            "resolution", f"{_said(order.resolution)} is not supported by {family.name}{why}: use {', '.join(resolutions)}."
        )
    ratios = family.ratios.get(seen.mode, RATIOS) if seen.mode in family.modes else RATIOS
    if order.ratio in family.gateway_ratios:
        yield f"ratio {order.ratio} is documented by some gateways only; others may refuse it or fall back."
    elif order.ratio not in (None, *ratios):
        yield Fault(
            "ratio", f"{_said(order.ratio)} is not supported by {family.name} in {seen.mode} mode: use {', '.join(ratios)}."
        )
    elif seen.mode is Mode.REFERENCE and order.ratio == ADAPTIVE and ratios[0] != ADAPTIVE:
        yield f"ratio {ADAPTIVE} with references is not documented for {family.name}; its default is {ratios[0]}."
    if order.camera_fixed and "camera_fixed" in family.takes and seen.mode is Mode.REFERENCE:
        yield Fault("camera_fixed", "does not go with reference images: leave it out.")


def _of_length(order: Order, family: Family) -> Iterator[Finding]:
    shortest, longest = family.seconds
    if order.duration is not None and not shortest <= order.duration <= longest:
        choice = ", or -1 to let the model choose" if family.chooses_duration else ""
        if not (family.chooses_duration and order.duration == -1):
            yield Fault("duration", f"has to be from {shortest} to {longest} seconds for {family.name}{choice}.")
    if order.frames is not None and "frames" not in family.takes:
        yield Fault("frames", f"are not supported by {family.name}: use duration.")


def _of_tasks(order: Order, family: Family, seen: Layout) -> Iterator[Finding]:
    """The provider answers these with InvalidParameter.TaskTypeConstraint, for frames only after the task has begun."""
    task = order.omni_reference_task_type
    fixed = order.ratio not in (None, ADAPTIVE)
    if fixed and seen.mode in (Mode.FIRST, Mode.BOTH):
        yield Fault("ratio", f"has to be {ADAPTIVE} with frames: {family.name} keeps the shape of the picture.")
    elif fixed and task in ("edit", "extend"):
        yield Fault("ratio", f"has to be {ADAPTIVE} to {task}: {family.name} keeps the shape of the video.")
    if task == "edit" and order.duration not in (None, -1):
        yield Fault("duration", "has to be -1 to edit: the video keeps its length.")
    if task in ("edit", "extend") and not seen.videos:
        yield f"omni_reference_task_type {task} without a reference video is likely to fail."
    elif task in (None, "auto") and seen.videos and (fixed or order.duration not in (None, -1)):
        yield f"If the prompt reads as an edit of the video, {family.name} refuses any ratio but {ADAPTIVE} and any duration but -1."


def _said(value: object) -> str:
    return str(value)[:_SHOWN]
