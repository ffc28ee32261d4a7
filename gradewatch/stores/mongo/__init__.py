"""The MongoDB store: collections of its own in any database, over PyMongo's asynchronous client or Motor's."""

from gradewatch.stores.mongo.store import MongoStore

__all__ = ["MongoStore"]
