"""The column types of every table, the same in meaning on both databases.
Text is compared and ordered by its code points, whatever collation a PostgreSQL database was made with.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, Text

TEXT = Text().with_variant(Text(collation="C"), "postgresql")
WHOLE = BigInteger().with_variant(Integer(), "sqlite")
