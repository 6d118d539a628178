"""A client in another language: generates a piece through libtutti.so and ctypes.

    python3 library_client.py LIBTUTTI.so CHECKPOINT OUTPUT.mid
"""

import ctypes as c
import sys


class Note(c.Structure):
    _fields_ = [("start", c.c_double), ("duration", c.c_double), ("pitch", c.c_int),
                ("velocity", c.c_int), ("program", c.c_int), ("channel", c.c_int)]


class Piece(c.Structure):
    _fields_ = [("notes", c.POINTER(Note)), ("count", c.c_size_t), ("seconds", c.c_double),
                ("tempo", c.c_int), ("ended", c.c_bool)]


class Settings(c.Structure):
    _fields_ = [("seconds", c.c_double), ("bars", c.c_int64), ("end", c.c_int), ("min_seconds", c.c_double),
                ("best_of", c.c_int), ("tempo", c.c_double), ("temperature", c.c_double),
                ("top_k", c.c_int64), ("top_p", c.c_double),
                ("min_p", c.c_double), ("repetition_penalty", c.c_double),
                ("cache", c.c_double), ("cache_context", c.c_int64),
                ("scale", c.c_char_p), ("programs", c.c_char_p),
                ("time_signature", c.c_char_p), ("seed", c.c_uint64),
                ("guard", c.c_bool), ("max_silence", c.c_double),
                ("max_note_seconds", c.c_double),
                ("keep_primer", c.c_bool), ("threads", c.c_int)]


def main(library, checkpoint, output):
    tutti = c.CDLL(library)
    tutti.tutti_message.restype = c.c_char_p
    tutti.tutti_defaults.restype = None

    def check(code):
        if code:
            sys.exit(tutti.tutti_message().decode())

    model, settings, pieces = c.c_void_p(), Settings(), (Piece * 2)()
    check(tutti.tutti_open(checkpoint.encode(), c.byref(model)))
    tutti.tutti_defaults(model, c.byref(settings))
    settings.seconds, settings.seed = 10, 42
    check(tutti.tutti_sample(model, c.byref(settings), 2, pieces))
    print(f"{pieces[1].count} notes, the first of pitch {pieces[1].notes[0].pitch}")
    check(tutti.tutti_write(output.encode(), c.byref(pieces[1])))
    tutti.tutti_free_pieces(pieces, 2)
    tutti.tutti_close(model)


main(*sys.argv[1:])
