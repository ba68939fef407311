"""Real networks, small enough to run here: an encoder and a decoder in NumPy whose linears are yours to compute.

A format's or a chip's error on random matrices says little about a model. Here a published sentence encoder runs with
every linear layer handed to a callable of your choice, so that the error can be read where it matters, in the
embeddings; a Llama-like decoder likewise, down to its next-token distributions. Where no weights are at hand, `synthetic` makes stand-ins and says what it assumes.
"""

from chipmeter.networks.decoder import Decoder
from chipmeter.networks.decoder_config import DecoderConfig, decoder_shapes
from chipmeter.networks.encoder import Encoder, EncoderConfig, Linear, float32_linear, parameter_shapes
from chipmeter.networks.locate import find_minilm
from chipmeter.networks.sentences import PAIRS, SENTENCES
from chipmeter.networks.tokenize import Tokenizer

__all__ = [
    "PAIRS",
    "SENTENCES",
    "Decoder",
    "DecoderConfig",
    "Encoder",
    "EncoderConfig",
    "Linear",
    "Tokenizer",
    "decoder_shapes",
    "find_minilm",
    "float32_linear",
    "parameter_shapes",
]
