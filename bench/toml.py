"""Files that users write: TOML into a strict record, with errors that name the file and every field."""

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from bench.errors import UsageError
from bench.records import Plain

P = TypeVar("P", bound=Plain)


def load_toml(path: Path, kind: type[P]) -> P:
    """The file as a record of that kind; fields that are left out take their defaults.

    Raises:
        UsageError: an unreadable file, or fields that do not exist or fit; names all of them.
    """
    remedy = f"mend the file; fields are {', '.join(kind.model_fields)}"
    try:
        return kind.model_validate(tomllib.loads(path.read_text()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: {error}", remedy) from error
    except ValidationError as error:
        problems = "; ".join(f"field {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UsageError(f"{path}: {problems}", remedy) from error
