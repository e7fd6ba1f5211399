"""Kinds of claims, one a file. A new kind is a file here and a row in `Claim`."""

from typing import Annotated

from pydantic import Field

from dlmi_reports.claims.kinds.above import Above
from dlmi_reports.claims.kinds.auc_non_inferior import AucNonInferior
from dlmi_reports.claims.kinds.bounded import Bounded
from dlmi_reports.claims.kinds.calibrated_within import CalibratedWithin
from dlmi_reports.claims.kinds.composite import Composite
from dlmi_reports.claims.kinds.equivalent import Equivalent
from dlmi_reports.claims.kinds.fits import Fits
from dlmi_reports.claims.kinds.no_class_lost import NoClassLost
from dlmi_reports.claims.kinds.no_group_worse_than import NoGroupWorseThan
from dlmi_reports.claims.kinds.non_inferior import NonInferior
from dlmi_reports.claims.kinds.ordered import Ordered
from dlmi_reports.claims.kinds.paired import Paired
from dlmi_reports.claims.kinds.ratio import Ratio
from dlmi_reports.claims.kinds.reaches import Reaches
from dlmi_reports.claims.kinds.sensitivity_at_least import SensitivityAtLeast
from dlmi_reports.claims.kinds.structure import Structure

TestedClaim = (
    Reaches
    | Above
    | NonInferior
    | AucNonInferior
    | SensitivityAtLeast
    | CalibratedWithin
    | NoClassLost
    | NoGroupWorseThan
    | Equivalent
    | Ratio
    | Ordered
    | Paired
    | Bounded
    | Structure
    | Fits
)
Claim = Annotated[TestedClaim | Composite, Field(discriminator="kind")]
