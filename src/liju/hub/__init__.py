"""Models in and out: Hugging Face folders, each a table of names and one generic loop."""

from liju.hub.bundle import Bundle, load_bundle, save_bundle
from liju.hub.check import check_export, probe_batch
from liju.hub.config_map import Architecture, architecture, from_json, misfits, to_json
from liju.hub.convert import export_tensors, import_tensors
from liju.hub.export import TARGETS, ExportReport, export, expressible
from liju.hub.folder import import_folder
from liju.hub.names import Name
from liju.hub.weights import read_weights, write_weights

__all__ = [
    "TARGETS",
    "Architecture",
    "Bundle",
    "ExportReport",
    "Name",
    "architecture",
    "check_export",
    "export",
    "export_tensors",
    "expressible",
    "from_json",
    "import_folder",
    "import_tensors",
    "load_bundle",
    "misfits",
    "probe_batch",
    "read_weights",
    "save_bundle",
    "to_json",
    "write_weights",
]
