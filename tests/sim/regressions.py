"""Stories that once broke something, as short as they could be made. What each broke stands above it."""

from tests.sim.story import Story

STORIES: dict[str, Story] = {}
