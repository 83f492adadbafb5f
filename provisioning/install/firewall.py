"""The dock's firewall as nftables takes it: pages from outside, bays from their own network, and nothing else."""

import hashlib

from evidence.errors import EnvironmentalError

TABLE = "inet mirrorcam"
SSH = "tcp dport 22 accept"

# RFC 4890 §4.4 says which ICMPv6 a host cannot do without; errors that belong to a connection are "related" to it.
_RULES = """\
# Written by 'mirrorcam-provision dock install', again whenever it differs; own rules belong into another table.
table {table}
delete table {table}
table {table} {{
	comment "{comment}"

	chain input {{
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		ct state invalid drop
		iif lo accept
		iifname mirrorcam0 jump bays
		iifname mirrorcam0 drop
		jump outside
	}}

	# The units: they find the dock, hand over, or ask to be enrolled, and that is all.
	chain bays {{
		icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} ip6 hoplimit 255 accept
		tcp dport {{ {bays_port}, {enrolment_port} }} accept
	}}

	# The town's network: people look at the pages, and the dock keeps its own address there.
	chain outside {{
		icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert }} ip6 hoplimit 255 accept
		ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
		tcp dport {pages_port} accept
{ssh}	}}

	# The bays' network is led nowhere, whatever else this computer forwards.
	chain forward {{
		type filter hook forward priority filter; policy accept;
		iifname mirrorcam0 drop
		oifname mirrorcam0 drop
	}}
}}
"""


class NoFixedPortError(EnvironmentalError):
    """A port that the firewall is to open is chosen by the system anew at each start."""

    def __init__(self) -> None:
        super().__init__("A port of this dock is 0, so the firewall cannot know it: give it a number in dock.toml.")


def rules(*, pages_port: int, bays_port: int, enrolment_port: int, with_ssh: bool) -> str:
    """Return the firewall's file; the table's comment is the digest of all the rest, by which a loaded one is known.

    Raises NoFixedPortError.
    """
    if 0 in (pages_port, bays_port, enrolment_port):
        raise NoFixedPortError
    ssh = f"\t\t{SSH}\n" if with_ssh else ""
    ports = {"pages_port": pages_port, "bays_port": bays_port, "enrolment_port": enrolment_port}
    fields = {"table": TABLE, "ssh": ssh, **ports}
    digest = hashlib.sha256(_RULES.format(comment="", **fields).encode()).hexdigest()
    return _RULES.format(comment=f"mirrorcam {digest[:32]}", **fields)


def comment_of(text: str) -> str:
    """Return the comment that a file of rules, or what nft lists of them, names first; '' where there is none."""
    return text.partition('comment "')[2].partition('"')[0]
