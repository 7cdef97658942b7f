"""The embedded broker: KIS's Open API and Yahoo's charts over a simulated market (design.md §6, protocol §13).

The same ``Simulator`` serves over real HTTP (``simulator.server.serve``) and inside a process
(``simulator.inprocess.InProcessAdapter``).
"""

from simulator.auth import Issuance
from simulator.core import Recorded, Simulator
from simulator.faults import Fault
from simulator.messages import Request, Response
from simulator.options import Options

__all__ = ["Fault", "Issuance", "Options", "Recorded", "Request", "Response", "Simulator"]
