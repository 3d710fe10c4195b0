"""Symbolic sizes in an exported program: text that torch evaluates as Python when it opens a file.

``torch.export.load`` gives sizes to ``sympy.sympify``, which calls ``eval``, and compiles guards
on shapes with ``exec``. Both are checked here as syntax trees: arithmetic over named sizes passes,
anything that could reach another object does not.
"""

from __future__ import annotations

import ast
import re

from profiler.modelfile.refused import Refused

MAX_EXPRESSION = 10_000

# As sympy's srepr and torch.utils._sympy write them.
_FUNCTIONS = frozenset(
    [
        "Symbol",
        "Integer",
        "Float",
        "Rational",
        "Add",
        "Mul",
        "Pow",
        "Max",
        "Min",
        "Abs",
        "Mod",
        "floor",
        "ceiling",
        "Equality",
        "Unequality",
        "StrictLessThan",
        "StrictGreaterThan",
        "LessThan",
        "GreaterThan",
        "Eq",
        "Ne",
        "Lt",
        "Le",
        "Gt",
        "Ge",
        "And",
        "Or",
        "Not",
        "Piecewise",
        "ExprCondPair",
        "BooleanTrue",
        "BooleanFalse",
        "FloorDiv",
        "ModularIndexing",
        "Where",
        "PythonMod",
        "CleanDiv",
        "CeilToInt",
        "FloorToInt",
        "CeilDiv",
        "LShift",
        "RShift",
        "PowByNatural",
        "FloatPow",
        "FloatTrueDiv",
        "IntTrueDiv",
        "IsNonOverlappingAndDenseIndicator",
        "TruncToFloat",
        "TruncToInt",
        "RoundToInt",
        "RoundDecimal",
        "ToFloat",
        "Identity",
    ]
)
_NAMES = _FUNCTIONS | frozenset(
    ["true", "false", "oo", "int_oo", "IntInfinity", "NegativeIntInfinity", "inf", "L"]
)
_SYMBOL = re.compile(r"^z?[su]f?\d+$")
_TEXT = re.compile(r"^[A-Za-z0-9_.+\-]{0,200}$")
# What a guard asks of an input.
_METHODS = frozenset({"size", "stride", "storage_offset", "dim", "numel"})
_OPERATIONS = (
    ast.Expression,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.operator,
    ast.unaryop,
    ast.boolop,
    ast.cmpop,
    ast.Load,
)


def check_expression(text: str) -> None:
    """A size, such as ``Mul(Integer(2), Symbol('s77', positive=True, integer=True))``.

    Raises:
        Refused: it is more than arithmetic.
    """
    for node in _nodes(text):
        if not (_is_arithmetic(node) or isinstance(node, ast.keyword)):
            raise _refusal(text)


def check_guard(text: str) -> None:
    """A condition on the inputs' sizes, such as ``L['x'].size()[1] % 2 == 0``.

    Raises:
        Refused: it is more than that.
    """
    # The text also goes between quotation marks of a string that is compiled.
    if '"' in text or "\\" in text or "\n" in text:
        raise _refusal(text)
    for node in _nodes(text):
        if isinstance(node, ast.Attribute):
            if node.attr not in _METHODS:
                raise _refusal(text)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            continue
        elif not (_is_arithmetic(node) or isinstance(node, ast.Subscript)):
            raise _refusal(text)


def _is_arithmetic(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return node.id in _NAMES or _SYMBOL.match(node.id) is not None
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return _TEXT.match(node.value) is not None
        return isinstance(node.value, (bool, int, float))
    return isinstance(node, _OPERATIONS)


def _nodes(text: str) -> list[ast.AST]:
    if len(text) > MAX_EXPRESSION:
        raise _refusal(text)
    try:
        return list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _refusal(text) from error


def _refusal(text: str) -> Refused:
    return Refused(f"holds an expression that is no arithmetic on sizes: {text[:80]!r}")
