"""The shape of the code base: who may import whom, and how long things may get.

Everything rests on one table, `LAYERS`, ordered from the lowest layer up. A module imports only
modules that stand before it in the table: those of lower layers, and in its own layer those further
left or above. A table in one order has no cycles, so neither have the imports.
"""

import ast
import functools
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = {
    "hrm_kernels": "kernels/hrm_kernels",
    "hrm_jax": "hrm_jax",
    "experiments": "experiments",
}
"""Import names and their folders. `kernels` alone is the import name of Hugging Face's package."""

LAYERS: tuple[dict[str, str], ...] = (
    {
        "hrm_kernels": (
            "device mask reference operands blocks vjp mesh exponential xla_short xla_blocked"
            " xla_cached tpu_heads tpu_rows tpu_resident tpu_blocks tpu_walk tpu_tiled jax_versions"
            " gpu_tiles gpu_blocks gpu_resident gpu_tiled_backward gpu_tiled mosaic_blocks"
            " mosaic_resident_backward mosaic_resident mosaic_stream mosaic_tiled_queries"
            " mosaic_tiled_keys mosaic_tiled_backward mosaic_tiled mps choice attention"
            " native norm native_cached decode textbook cases quantized_matrix quantized_rows"
            " tpu_quantized gpu_quantized mosaic_quantized_copies mosaic_quantized quantized"
            " quantized_cases __init__"
        )
    },
    {
        "hrm_jax.core": (
            "errors machine config_fields config_values config candidates graphs numerics types"
            " texts correctness protocols files mesh"
        )
    },
    {
        "hrm_jax.nn": (
            "keys quantized norm product linear rope swiglu attention edge_mixing relational block"
            " gated_stack decoder_block embedding"
        ),
        "hrm_jax.losses": "token act language",
        "hrm_jax.optim": "schedules adam_atan2 eigenbases soap puzzle_rows ema",
        "hrm_jax.training": (
            "interrupt state_arrays trackers run_files run_log side_records process_record"
            " checkpoint state optimizers run_config batches progress parts step telemetry flops"
            " divergence saving loop curriculum task first_state learned_data observing"
            " run run_folder"
        ),
        "hrm_jax.data": "rows pipeline downloads storage guessing",
        "hrm_jax.data.sudoku": (
            "rules boards judging propagation solver puzzles symmetry assuming easing canonical"
            " mixture generator csv_format unpacking cell_text tables grids layouts puzzle_files"
            " board_solver board_generator board_files narrowing board_puzzles bank"
            " sudoku_dataset_builder source"
        ),
        "hrm_jax.data.differing": "problem solver generator",
        "hrm_jax.data.text": (
            "markers token_bytes wrapped_tokenizer tokenizers chat languages infilling well_formed"
            " python_prefix names holes packing source exercises at_hand batches"
        ),
        "hrm_jax.data.corpus": (
            "documents licences generated credentials duplicates benchmarks filters projects"
            " packages corpus_dataset_builder prepared recipe"
        ),
    },
    {
        "hrm_jax.models": (
            "recurrence levels puzzle_config puzzle_module noise puzzle_model together"
            " graph_config graph_model call_cache special_tokens text_attention text_model"
            " text_recurrence hrm_text llama hrm_llama text_step"
        ),
        "hrm_jax.convert": (
            "gguf_blocks weights catalogue holding pytorch published_config files folders"
            " model_folder shards fusion hugging_face hrm_text_config hrm_text llama_config llama"
            " gguf_header gguf_file gguf_keys gguf_llama gguf_tokenizer chat_templates hrm_llama"
            " language"
        ),
    },
    {
        "hrm_jax.inference": (
            "attempts thinking uniform config slots engine stream journal tree search"
        ),
        "hrm_jax.inference.text": (
            "buckets sampling healing constraints python_syntax grammars prompts transcripts"
            " refilling rows prefixes reading speculation requests session writing batching sharing"
        ),
    },
    {
        "hrm_jax.evaluation.sandbox": "limits base bubblewrap namespaces processes isolation",
        "hrm_jax.evaluation.judge.inside": (
            "forms states wire remote errors units candidate examiner behave"
        ),
        "hrm_jax.evaluation.judge": (
            "toolchains packages exams examination go_files recipes building judge"
        ),
        "hrm_jax.evaluation.suites": (
            "problems humaneval mbpp humanevalpack cruxeval chat_form named known_answers"
        ),
        "hrm_jax.evaluation": "accuracy pass_at_k syntax evaluate likelihood gate",
        "hrm_jax.planning.forecast": (
            "tables sprints sprint_features conformal distributions neighbours threads velocity"
            " text_features estimates points delays timeline timeline_report learned guessing"
        ),
        "hrm_jax.verified": "examples imports checks programs search inputs agreement choices",
        "hrm_jax.context": "parts ranking choosing",
        "hrm_jax.serving": (
            "refusals engine hole_context messages service token_scores openai_replies errors"
            " current loading streams openai_routes llama_routes protection metrics app"
        ),
        "hrm_jax.editing": (
            "brackets fitting shaping windows exclusions positions documents settings answers"
            " server suggesting under_way telling project neighbours items targets verifying"
            " language_server"
        ),
        "hrm_jax.planning": (
            "errors order workdays stories instance plan objectives checker tables staffing"
            " bounds readiness pools busy decoding rules searching problem infeasible run"
            " dispatching exact_model exact replaying foreseeing explaining generator nodes"
            " plan_graph guiding hrm"
        ),
        "hrm_jax.planning.formats": (
            "building mspsp psplib lists rows table_files filling github jira times chart plans"
            " proposals benchmarks"
        ),
        "hrm_jax.planning.backlogs": "fitting generating comparing",
        "hrm_jax.tasks.sudoku": "evaluation probes task sizes",
        "hrm_jax.tasks.differing": "kinds latin colouring puzzles evaluation task",
        "hrm_jax.tasks.code": "config data evaluation samples probes task",
        "hrm_jax.tasks.planning": "examples loss task",
        "hrm_jax.studio": (
            "folders lines series losses event_files csv_logs foreign tags plans states forms jobs"
            " log_ends watching live protection thinking studio asking routes app"
        ),
        "hrm_jax": "__init__",
    },
    {
        "experiments.common": (
            "process command listening config_flags distributed terminal curves runs"
            " comparisons language_model"
        ),
        "experiments.rendering": "trace page board layout legend sheet animation files",
        "experiments.sudoku": (
            "display presets variants exported measuring misses solving thinker __main__"
        ),
        "experiments.relations": "presets __main__",
        "experiments.codegen": (
            "presets author training writer prompts models judging verifying generation measuring"
            " choosing __main__"
        ),
        "experiments.assignments": (
            "trained training planners evaluation efficiency template reading splitting supposing"
            " showing picture page forecasting mode_flags modes __main__"
        ),
        "experiments": (
            "suite_figures compare_codegen compare_sudoku train_sizes draw_misses search_curve"
            " convert make_bank make_boards join_puzzles make_corpus serve language_server"
            " model_gate forecast fit_backlogs studio"
        ),
        "experiments.benchmarks.baselines": "torch_layers torch_hrm torch_train",
        "experiments.benchmarks": (
            "workload aot_targets aot_cases shipped_attention aot aot_kernels jax_step torch_step"
            " worker alternate machine train_step step_profile recurrence attention solve"
            " jax_decode torch_decode decode llama_decode llama exactness turns speculation"
            " syntax first_token context_points context_gain serving serve_load serve_speed"
            " studio_load telemetry thoughts first_curve"
        ),
        "experiments.benchmarks.device": (
            "card part right attention quantized training text compiling mosaic tiles suite"
        ),
    },
)
PROGRAMS_OF_EXPERIMENTS = ("experiments.bench", "experiments.draw_studio")
"""The top layer, after everything: programs over the packages inside `experiments`."""

KERNELS_IMPORT = {"jax", "numpy", "jaxtyping"}
ONLY_EXPERIMENTS_IMPORT = {"absl.app", "absl.flags", "ml_collections", "rich"}

MODULE_LINES = 400
FUNCTION_LINES = 80
TEST_MODULE_LINES = 400
TEST_FUNCTION_LINES = 80


def listed_modules() -> list[str]:
    """The table as one sequence; a package's `__init__` has the name of the package."""
    names = [
        f"{package}.{module}".removesuffix(".__init__")
        for layer in LAYERS
        for package, modules in layer.items()
        for module in modules.split()
    ]
    return [*names, *PROGRAMS_OF_EXPERIMENTS]


@functools.cache
def modules() -> dict[str, pathlib.Path]:
    """Every module there is, by name."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = package, *path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


@functools.cache
def imports(module: str) -> frozenset[str]:
    """Names of what a module imports, anywhere in it: modules where they are ours."""
    found = set()
    for node in ast.walk(ast.parse(modules()[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}, line {node.lineno}: write the import in full"
            origin = str(node.module)
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                ours = origin.split(".")[0] in PACKAGES
                found.add(inner if not ours or inner in modules() else origin)
    return frozenset(found)


def is_inside(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def imports_of_ours(module: str) -> set[str]:
    return {name for name in imports(module) if name.split(".")[0] in PACKAGES}


def test_every_module_has_its_place_in_the_table():
    bare = {name for name, path in modules().items() if path.name == "__init__.py"}
    missing = modules().keys() - set(listed_modules()) - {m for m in bare if not imports(m)}
    assert not missing, (
        f"not in LAYERS of {__file__}: {sorted(missing)}. Add each to its package's line, after "
        "all that it imports; if that is impossible, it imports upwards"
    )


def test_the_table_names_each_module_once_and_no_other():
    listed = listed_modules()
    assert sorted(listed) == sorted(set(listed))
    assert set(listed) <= modules().keys()


@pytest.mark.parametrize("module", listed_modules())
def test_a_module_imports_only_what_stands_before_it(module):
    listed = listed_modules()
    before = listed[: listed.index(module)]
    upwards = imports_of_ours(module) - set(before)
    assert not upwards, f"{module} imports {sorted(upwards)}, which LAYERS lists after it"


def test_kernels_import_jax_and_nothing_of_ours():
    allowed = KERNELS_IMPORT | {"hrm_kernels"} | sys.stdlib_module_names
    for module in modules():
        if is_inside(module, "hrm_kernels"):
            foreign = {name for name in imports(module) if name.split(".")[0] not in allowed}
            assert not foreign, f"{module} imports {sorted(foreign)}"


def test_the_library_imports_kernels_by_their_package():
    for module in modules():
        if is_inside(module, "hrm_jax"):
            inside = {name for name in imports(module) if is_inside(name, "hrm_kernels")}
            behind = inside - {"hrm_kernels"}
            assert not behind, f"{module} imports {sorted(behind)}; import hrm_kernels"


def test_only_experiments_read_flags_and_print_tables():
    for module in modules():
        if not is_inside(module, "experiments"):
            shown = {n for n in imports(module) for p in ONLY_EXPERIMENTS_IMPORT if is_inside(n, p)}
            assert not shown, f"{module} imports {sorted(shown)}"


def test_models_of_code_know_no_sudoku():
    seen = set()
    waiting = {"experiments.codegen.__main__", "experiments.codegen.training"}
    while waiting:
        module = waiting.pop()
        seen.add(module)
        waiting |= imports_of_ours(module) - seen
    assert "hrm_jax.training.run" in seen
    assert not {module for module in seen if "sudoku" in module}


def test_programs_are_not_imported():
    for module in modules():
        assert not imports(module) & set(PROGRAMS_OF_EXPERIMENTS), module


def test_classes_that_declare_constraints_check_them():
    for module, path in modules().items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for cls in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
            fields = [node.value for node in cls.body if isinstance(node, ast.AnnAssign)]
            constrained = any(ast.unparse(value).startswith("field(") for value in fields if value)
            decorators = {ast.unparse(decorator) for decorator in cls.decorator_list}
            assert not constrained or "configclass" in decorators, (
                f"{module}.{cls.name} declares fields by core.config.field; make it a "
                "@configclass, or nothing looks at their constraints"
            )


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


@pytest.mark.parametrize(
    ("folder", "module_lines", "function_lines"),
    [(folder, MODULE_LINES, FUNCTION_LINES) for folder in PACKAGES.values()]
    + [("tests", TEST_MODULE_LINES, TEST_FUNCTION_LINES)],
)
def test_modules_and_functions_are_short(folder, module_lines, function_lines):
    for path in sorted((ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT)
        assert len(text.splitlines()) <= module_lines, f"{name}: split it, limit {module_lines}"
        for function in functions(ast.parse(text)):
            lines = (function.end_lineno or 0) - function.lineno + 1
            assert lines <= function_lines, (
                f"{name}: {function.name} has {lines} lines, the limit is {function_lines}"
            )
