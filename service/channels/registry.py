"""The channels by the name that a subscription gives. A new one is a file and a line here."""

from collections.abc import Mapping

from service.channels.base import Channel
from service.channels.discord import Discord
from service.channels.slack import Slack
from service.channels.teams import Teams
from service.channels.webhook import Webhook

CHANNELS: Mapping[str, Channel] = {channel.name: channel for channel in (Webhook(), Slack(), Discord(), Teams())}
