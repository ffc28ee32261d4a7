"""Queues of other applications: their rows read, judged and repaired, over whatever holds them."""

from gradewatch.stores.mapping.queue import ForeignQueue
from gradewatch.stores.mapping.routed import RoutedStore
from gradewatch.stores.mapping.table import ForeignTable, Row, Select, Shape, Write

__all__ = ["ForeignQueue", "ForeignTable", "RoutedStore", "Row", "Select", "Shape", "Write"]
