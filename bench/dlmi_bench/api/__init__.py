"""The commands as functions, for scripts and notebooks: `import dlmi_bench` offers them.

Each returns an `Answer`: the object behind it, a table, and text. The command line calls the same functions.
"""

from dlmi_bench.api.answer import Answer as Answer
from dlmi_bench.api.firmware import build_firmware as build_firmware
from dlmi_bench.api.gate import gate as gate
from dlmi_bench.api.judging import judge as judge
from dlmi_bench.api.judging import judge_accuracies as judge_accuracies
from dlmi_bench.api.lock import lock_claims as lock_claims
from dlmi_bench.api.models import compare_files as compare_files
from dlmi_bench.api.models import count as count
from dlmi_bench.api.models import profile as profile
from dlmi_bench.api.refereeing import referee as referee
from dlmi_bench.api.results import judge_claims as judge_claims
from dlmi_bench.api.results import load_results as load_results
from dlmi_bench.api.results import plan as plan
from dlmi_bench.api.results import report as report
from dlmi_bench.api.results import run as run
from dlmi_bench.api.tuning import tune as tune
