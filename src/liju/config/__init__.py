"""The project file `liju.toml`: strict, one section a step, every key documented where it is defined.

>>> project = parse('''
... name = "first"
... [text]
... sources = ["notes.txt"]
... [model]
... family = "encoder"
... ''')
>>> project.model.family, project.pretrain.objective
('encoder', 'masked')

A misspelt key is an error, and every mistake is reported at once:

>>> parse('''
... [pretrain]
... learning_rat = 1e-3
... steps = "many"
... ''')
Traceback (most recent call last):
    ...
liju.errors.ConfigError: liju.toml:3: pretrain.learning_rat: unknown key (did you mean 'learning_rate'?)
liju.toml:4: pretrain.steps: a whole number is needed, not 'many'
"""

from liju.config.reading import Check, Follow, parse, read
from liju.config.rules import Problem, without_effect
from liju.config.sections import (
    Evaluate,
    Finetune,
    Model,
    Pretrain,
    Project,
    Serve,
    Source,
    Text,
    Vocab,
)
from liju.config.writing import documented

__all__ = ["Check", "Evaluate", "Finetune", "Model", "Pretrain", "Problem", "Project", "Serve", "Source"]
__all__ += ["Follow", "Text", "Vocab", "documented", "parse", "read", "without_effect"]
