#!/usr/bin/env python3
"""Structured mutations of checkpoints and datasets, and how tutti reacts to them.

    mutate_hdf5.py TUTTI [--checkpoints N] [--datasets N] [--seed N] [--only KIND:I]

Needs ./first.conf, ./corpus.tutti and ./runs/first as tests/common.sh makes them; works
in ./mutations. Checksums find flipped bits; this changes values instead: extreme numbers,
other types, shapes and storage, links that lead elsewhere, lengths without stored data.
HDF5 keeps the checksums valid, and the format's hashes are recomputed, so that each
mutation gets past them.

Every command that reads such a file is run on each one, under a time limit and, without
a sanitizer, a memory limit. It must exit with 0, or with 1 or 2 and one line "tutti: ..."
and no other error on stderr. A mutation marks files that must not be accepted:
`inspect --verify` has to refuse them, and for checkpoints also --resume. Prints one line
per failure, and the counts. Exit code 1 on any failure. A mutation depends only on the
seed and its number: --only checkpoint:17 repeats it.
"""
import argparse
import collections
import ctypes
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

try:
    import h5py
    import numpy as np
except ImportError as missing:
    print(f"skipped: {missing} (Debian: python3-h5py, python3-numpy)")
    sys.exit(77)

SECONDS = 60          # time limit of a command, which takes about 0.1 s
MEMORY = 300 << 20    # resident, without a sanitizer
ADDRESS_SPACE = 4 << 30
SHARD = "shard-0000.h5"
HASH_BATCH = 128      # notes per batch: see src/midi/notes.c
EXTREME_INTEGERS = [-1, -2**63, 2**63 - 1, 2**62, 2**53 + 1, 2**40, -2**31]
EXTREME_NUMBERS = [float("nan"), float("inf"), -float("inf"), 1e300, -5.0]

# ---- hashes ----


class Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


try:
    xxhash = ctypes.CDLL("libxxhash.so.0")
    xxhash.XXH3_64bits.restype = ctypes.c_uint64
    xxhash.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    xxhash.XXH3_128bits.restype = Hash128
    xxhash.XXH3_128bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
except OSError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)


def hash64(data):
    data = bytes(data)
    return xxhash.XXH3_64bits(data, len(data))


def hash128(data):
    data = bytes(data)
    both = xxhash.XXH3_128bits(data, len(data))
    return both.high, both.low


NOTE = np.dtype([("start", "<f8"), ("duration", "<f8"), ("start_tick", "<u4"),
                 ("duration_ticks", "<u4"), ("track", "<u2"), ("pitch", "u1"),
                 ("velocity", "u1"), ("program", "u1"), ("channel", "u1"),
                 ("percussion", "u1"), ("port", "u1")])


def notes_hash(notes, division):
    """notes_hash of src/midi/notes.c."""
    share = any(len(set(notes["port"][notes["channel"] & 15 == c])) > 1 for c in range(16))
    notes = notes.copy()
    notes["percussion"] = notes["percussion"] != (notes["channel"] == 9)
    if not share:
        notes["port"] = 0
    high, low = hash128(np.array(division, "<f8").tobytes())
    for at in range(0, len(notes), HASH_BATCH):
        before = np.array([high, low], "<u8").tobytes()
        high, low = hash128(before + notes[at:at + HASH_BATCH].tobytes())
    return high, low


# ---- editing ----


def edit(path):
    return h5py.File(path, "r+", libver=("earliest", "v110"))


def put(f, name, data, **how):
    """Recreates the dataset, stored as tutti stores it unless `how` overrides that."""
    data = np.asarray(data)
    attributes = {}
    if name in f:
        attributes = dict(f[name].attrs)
        del f[name]
    if not how and data.ndim:
        how = {"chunks": tuple(max(1, n) for n in data.shape), "fletcher32": True}
        if not data.size:  # as h5py requires
            how["maxshape"] = (None,) * data.ndim
    made = f.create_dataset(name, data=data, **how)
    for key, value in attributes.items():
        made.attrs.create(key, value)


def datasets(f):
    found = []
    f.visititems(lambda name, o: found.append(name) if isinstance(o, h5py.Dataset) else None)
    return sorted(found)


def set_attribute(f, owner, name, value, **how):
    if name in f[owner].attrs:
        del f[owner].attrs[name]
    f[owner].attrs.create(name, value, **how)


def text(value):
    return np.array([value.encode()])


def tensors(f):
    """In the order of the flat block: see src/nn/params.c."""
    layers = [n for n in f["model"] if n.startswith(("lstm", "gru"))]
    order = ["embedding/weight"]
    for layer in sorted(layers, key=lambda n: int(re.sub(r"\D", "", n))):
        names = ["weight_ih", "weight_hh"]
        names += ["bias"] if layer.startswith("lstm") else ["bias_ih", "bias_hh"]
        order += [f"{layer}/{n}" for n in names]
    if "dense" in f["model"]:
        order += ["dense/weight", "dense/bias"]
    return order + ["output/weight", "output/bias"]


def repair_weights(f):
    block = b"".join(f["model/" + n][...].astype("<f4").tobytes() for n in tensors(f))
    set_attribute(f, "/", "weights_hash", np.bytes_(f"{hash64(block):016x}"))
    if f["state"].attrs["epoch_step"] == 0 and len(f["history/weights_hash"]):
        f["history/weights_hash"][-1] = hash64(block)


# ---- mutations of any file; each returns (description, must be refused) ----

OTHER_STORAGE = ["contiguous", "compact", "gzip", "gzip too", "shuffle", "bare chunks",
                 "virtual", "external", "variable", "compound", "named type", "scalar",
                 "references", "big endian", "unlimited", "masked", "half a chunk missing"]


def other_storage(f, name, how, here):
    data = f[name][...]
    if how == "contiguous":
        put(f, name, data, chunks=None, track_times=False)
    elif how == "compact":
        del f[name]
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        data = data.reshape(-1)[:100]
        made = h5py.h5d.create(f.id, name.encode(), h5py.h5t.py_create(data.dtype),
                               h5py.h5s.create_simple(data.shape), plist)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, data)
    elif how in ("gzip", "gzip too", "shuffle", "bare chunks", "unlimited"):
        options = {"gzip": {"compression": "gzip"},
                   "gzip too": {"compression": "gzip", "fletcher32": True},
                   "shuffle": {"shuffle": True, "fletcher32": True},
                   "unlimited": {"maxshape": (None,) * data.ndim, "fletcher32": True},
                   "bare chunks": {}}[how]
        put(f, name, data, chunks=data.shape, **options)
    elif how == "virtual":
        layout = h5py.VirtualLayout(shape=data.shape, dtype=data.dtype)
        layout[...] = h5py.VirtualSource(here + "/pipe", "x", shape=data.shape)
        del f[name]
        f.create_virtual_dataset(name, layout)
    elif how == "external":
        del f[name]
        f.create_dataset(name, shape=data.shape, dtype=data.dtype,
                         external=[(here + "/pipe", 0, h5py.h5f.UNLIMITED)])
    elif how == "variable":
        kind = h5py.string_dtype() if data.dtype.kind == "S" else h5py.vlen_dtype(data.dtype)
        del f[name]
        f.create_dataset(name, shape=(max(1, data.size),), dtype=kind, chunks=(1,))
    elif how == "compound":
        put(f, name, np.zeros(data.shape, [("a", "f4"), ("b", "i8")]))
    elif how == "named type":
        f["zzz_type"] = data.dtype
        named = f["zzz_type"]
        del f[name]
        made = f.create_dataset(name, shape=data.shape, dtype=named, chunks=data.shape,
                                fletcher32=True)
        made[...] = data
    elif how == "scalar":
        del f[name]
        f[name] = data.reshape(-1)[0] if data.size else 0
    elif how == "references":
        del f[name]
        f.create_dataset(name, shape=data.shape, dtype=h5py.ref_dtype, chunks=data.shape)
    elif how == "big endian":
        put(f, name, data.astype(data.dtype.newbyteorder(">")))
    elif how == "masked":
        put(f, name, data)
        raw = data.tobytes()
        f[name].id.write_direct_chunk((0,) * data.ndim, raw + b"xxxx"[:4 * (len(raw) % 2)], 1)
    else:
        shape = (2 * data.shape[0] + 2,) + data.shape[1:]
        del f[name]
        chunk = (max(1, data.shape[0]),) + data.shape[1:]
        made = f.create_dataset(name, shape=shape, dtype=data.dtype, chunks=chunk,
                                fletcher32=True)
        made[:data.shape[0]] = data


def mutate_storage(f, rng, here):
    names = [n for n in datasets(f) if f[n].size]
    name, how = rng.choice(names), rng.choice(OTHER_STORAGE)
    other_storage(f, name, how, here)
    return f"{name}: {how}", how not in ("big endian", "unlimited")


def mutate_link(f, rng, here):
    name = rng.choice(datasets(f) + [n for n in f])
    how = rng.choice(["soft", "dangling", "external", "file"])
    if how == "soft":
        f.move(name, "zzz_moved")
        f[name] = h5py.SoftLink("/zzz_moved")
    else:
        del f[name]
        f[name] = {"dangling": h5py.SoftLink("/nowhere"),
                   "external": h5py.ExternalLink(here + "/pipe", "/x"),
                   "file": h5py.ExternalLink(here + "/half.h5", "/" + name)}[how]
    return f"{name}: {how} link", True


def mutate_size(f, rng, here):
    name = rng.choice(datasets(f))
    kind = f[name].dtype
    how = rng.choice(["long", "endless", "wide chunk", "wide text", "no rows", "one more",
                      "flat", "deep"])
    data = f[name][...]
    if how == "no rows":
        put(f, name, data[:0])
        return f"{name}: {how}", len(data) > 0
    if how == "one more":
        put(f, name, np.concatenate([data, data[-1:]]) if len(data) else
            np.zeros((1,) + data.shape[1:], kind))
    elif how == "flat":
        if data.ndim == 1:
            data = data[:, None]
        else:
            data = data.reshape(-1)
        put(f, name, data)
    elif how == "deep":
        put(f, name, data.reshape((1,) * 5 + data.shape) if data.size else
            np.zeros((1,) * 6, kind))
    else:
        del f[name]
        shape, chunk = {"long": ((2**27,), (65536,)), "endless": ((2**45,), (1024,)),
                        "wide chunk": ((2**28,), (2**28 - 1,)), "wide text": ((1,), (1,))}[how]
        if how == "wide text":
            kind = h5py.string_dtype("ascii", 2**31 - 1)
        if kind.itemsize * chunk[0] >= 2**32:
            chunk = (2**31 // kind.itemsize,)
        f.create_dataset(name, shape=shape, dtype=kind, chunks=chunk, fletcher32=True)
    return f"{name}: {how}", True


def mutate_extra(f, rng, here):
    how = rng.choice(["pipe", "soft", "alias", "fan", "crowd", "nest", "endless", "chunk",
                      "type", "plain", "attributes", "long name", "loop", "raw"])
    if how == "pipe":
        f["zzz"] = h5py.ExternalLink(here + "/pipe", "/")
    elif how == "soft":
        f["zzz"] = h5py.SoftLink("/nowhere")
    elif how == "alias":
        f["zzz"] = f[rng.choice(datasets(f))]
    elif how == "fan":
        top = f.create_group("zzz")
        for _ in range(30):
            below = top.create_group("a")
            top["b"] = below
            top = below
    elif how == "crowd":
        crowd = f.create_group("zzz")
        for i in range(3000):
            crowd.create_group(str(i))
    elif how == "nest":
        f.create_group("/".join(["zzz"] * 40))
    elif how == "endless":
        f.create_dataset("zzz", shape=(2**45,), dtype="f4", chunks=(1024,), fletcher32=True)
    elif how == "chunk":
        f.create_dataset("zzz", shape=(2**29,), dtype="f4", chunks=(2**29,), fletcher32=True)
    elif how == "type":
        f["zzz"] = np.dtype("f8")
    elif how == "plain":
        put(f, "zzz", np.arange(10))
    elif how == "attributes":
        for i in range(2000):
            f[rng.choice(list(f))].attrs.create(f"zzz{i}", i)
    elif how == "long name":
        put(f, "z" * 30000, np.arange(3))
    elif how == "loop":
        f["zzz"] = f["/"]
    elif how == "raw":
        f.create_dataset("zzz", shape=(64,), dtype="u1", external=[("/etc/passwd", 0, 64)])
    return f"extra: {how}", how not in ("plain", "attributes", "long name")


def mutate_deletion(f, rng, optional):
    name = rng.choice(datasets(f) + list(f))
    del f[name]
    return f"{name}: deleted", not name.startswith(optional)


def other_attribute(f, owner, name, rng):
    """An attribute of another type or size."""
    how = rng.choice(["deleted", "variable", "list", "long", "compound", "empty", "wide"])
    if how == "deleted":
        del f[owner].attrs[name]
    elif how == "variable":
        set_attribute(f, owner, name, "text", dtype=h5py.string_dtype())
    elif how == "list":
        set_attribute(f, owner, name, np.arange(3))
    elif how == "long":
        set_attribute(f, owner, name, np.bytes_(b"x" * 60000))
    elif how == "compound":
        set_attribute(f, owner, name, np.zeros((), [("a", "f4"), ("b", "i8")]))
    elif how == "empty":
        set_attribute(f, owner, name, h5py.Empty("f8"))
    else:
        set_attribute(f, owner, name, np.longdouble(1) if rng.random() < 0.5 else
                      np.bytes_(b"x" * 300))
    return f"{owner}@{name}: {how}", True


# ---- checkpoints ----

STATE_INTEGERS = ["epoch", "step", "epoch_step", "epoch_targets", "epoch_correct",
                  "best_epoch", "bad_epochs", "plateau_wait"]
STATE_NUMBERS = ["epoch_loss", "best_valid", "factor"]
NEEDED = ([("/state", n) for n in STATE_INTEGERS + STATE_NUMBERS + ["seed"]] +
          [("/", n) for n in ("epoch", "step", "parameters", "weights_hash", "dataset_hash",
                              "format", "format_version")] +
          [("/optimizer", "updates"), ("/optimizer", "kind"), ("/provenance", "ranks"),
           ("/provenance", "host"), ("/provenance", "numerics")])


def change_number(f, rng, here):
    owner, name = rng.choice([(o, n) for o, n in NEEDED if n not in
                              ("weights_hash", "dataset_hash", "format", "kind", "host",
                               "numerics")] + [("/pairs", "valid_bigram")])
    if name in STATE_NUMBERS or owner == "/pairs":
        value = rng.choice(EXTREME_NUMBERS)
        refused = not (owner == "/pairs" and value != value)
    else:
        value, refused = np.int64(rng.choice(EXTREME_INTEGERS)), True
    set_attribute(f, owner, name, value)
    return f"{owner}@{name} = {value}", refused


def change_attribute(f, rng, here):
    return other_attribute(f, *rng.choice(NEEDED), rng)


def change_weights(f, rng, here):
    name = rng.choice(tensors(f))
    group, value = rng.choice([("model", float("nan")), ("model", float("inf")),
                               ("optimizer/first", float("nan")),
                               ("optimizer/second", -1.0),
                               ("optimizer/second", float("inf"))])
    data = f[f"{group}/{name}"][...]
    data.reshape(-1)[rng.randrange(data.size)] = value
    put(f, f"{group}/{name}", data)
    repair_weights(f)
    return f"{group}/{name}: {value}", True


def change_history(f, rng, here):
    name = rng.choice(list(f["history"]))
    data = f["history/" + name][...]
    if name == "weights_hash" or not len(data):
        return "history: nothing", False
    value = rng.choice(EXTREME_INTEGERS if data.dtype.kind == "i" else EXTREME_NUMBERS)
    data[rng.randrange(len(data))] = value
    put(f, "history/" + name, data)
    return f"history/{name}: {value}", not (name.startswith("valid") and value != value)


def change_outcome(f, rng, here):
    """Within all ranges, but inconsistent with the losses and the weights."""
    attributes, last = f["state"].attrs, len(f["history/epoch"]) - 1
    names = ["best_epoch", "best_valid", "bad_epochs", "valid_loss"]
    name = rng.choice(names if attributes["epoch_step"] else
                      names + ["epoch_loss", "weights_hash"])
    if name in ("best_epoch", "bad_epochs"):
        value = np.int64((attributes[name] + 1) % (last + 2))
    elif name in ("best_valid", "epoch_loss"):
        value = np.float64(attributes[name] + 1e-3)
    if name in ("valid_loss", "weights_hash"):
        best = int(attributes["best_epoch"]) - 1
        row = last if name == "weights_hash" else best
        value = f["history/" + name][row]
        value = value ^ np.uint64(1) if name == "weights_hash" else value + 1e-3
        f["history/" + name][row] = value
    else:
        set_attribute(f, "/state", name, value)
    return f"outcome: {name} = {value}", True


def change_position(f, rng, here):
    name = rng.choice(["rows/epoch", "rows/piece", "rows/offset", "cursors/epoch",
                       "cursors/next", "hidden"])
    data = f["state/" + name][...]
    value = float("nan") if name == "hidden" else rng.choice(
        [v for v in EXTREME_INTEGERS if (name, v) != ("rows/piece", -1)])
    data.reshape(-1)[rng.randrange(data.size)] = value
    put(f, "state/" + name, data)
    return f"state/{name}: {value}", True


def change_pairs(f, rng, here):
    name, value = rng.choice([("count", -1), ("count", 2**63 - 1), ("count", 2**60),
                              ("count", 0), ("first", 65535), ("second", 400)])
    data = f["pairs/" + name][...]
    data[rng.randrange(len(data))] = value
    put(f, "pairs/" + name, data)
    return f"pairs/{name}: {value}", True


def change_config(f, rng, here):
    key, value = rng.choice([("hidden", 16384), ("hidden", 17), ("layers", 16),
                             ("embedding", 16384), ("batch", 1000000), ("microbatches", 4096),
                             ("seed", 77), ("optimizer", "sgd"), ("cell", "gru"),
                             ("dense", 16384), ("encoding", "pianoroll")])
    config = f["config"][0].decode()
    changed = re.sub(rf"(?m)^{key} = .*$", f"{key} = {value}", config)
    attributes = dict(f["config"].attrs)
    put(f, "config", text(changed))
    return f"config: {key} = {value}", changed != config


def change_config_to_an_empty_model(f, rng, here):
    config = f["config"][0].decode()
    put(f, "config", text(re.sub(r"(?m)^hidden = .*$", "hidden = 16384", config)))
    old = int(re.search(r"(?m)^hidden = (\d+)", config).group(1))
    for group in ("model", "optimizer/first", "optimizer/second"):
        for name in tensors(f):
            old_tensor = f[f"{group}/{name}"]
            shape = tuple(n // old * 16384 if n % old == 0 else n for n in old_tensor.shape)
            chunk = tuple(min(n, 256) for n in shape)
            del f[f"{group}/{name}"]
            f.create_dataset(f"{group}/{name}", shape=shape, dtype="f4", chunks=chunk,
                             fletcher32=True)
    return "an empty model of 16384 units", True


CHECKPOINT_MUTATIONS = [
    (mutate_storage, 4), (mutate_link, 2), (mutate_size, 4), (mutate_extra, 3),
    (lambda f, rng, here: mutate_deletion(f, rng, ("pairs",)), 1), (change_number, 4),
    (change_attribute, 2), (change_weights, 1), (change_history, 2), (change_outcome, 2),
    (change_position, 2), (change_pairs, 1), (change_config, 2), (change_config_to_an_empty_model, 1)]

# ---- datasets ----

COLUMNS = ["split", "seconds", "tempo", "ticks_per_beat", "ticks_per_second"]


class Shard:
    """A shard's tables, which can be modified and rewritten with all hashes."""

    def __init__(self, f):
        self.f = f
        self.pieces = {n: f["pieces/" + n][...] for n in f["pieces"]}
        self.notes = np.zeros(len(f["notes/pitch"]), NOTE)
        for name in NOTE.names:
            self.notes[name] = f["notes/" + name][...]
        self.tokens = f["tokens"][...]

    def part(self, table, i):
        first = int(self.pieces[table + "_first"][i])
        return slice(first, first + int(self.pieces[table + "_count"][i]))

    def write(self):
        p = self.pieces
        count = len(p["split"])
        notes = [self.notes[self.part("note", i)] for i in range(count)]
        tokens = [self.tokens[self.part("token", i)] for i in range(count)]
        for i in range(count):
            division = (p["ticks_per_beat"][i], p["ticks_per_second"][i])
            p["hash_high"][i], p["hash_low"][i] = notes_hash(notes[i], division)
            p["token_hash"][i] = hash64(tokens[i].tobytes())
        order = sorted(range(count), key=lambda i: (p["hash_high"][i], p["hash_low"][i]))
        for name in p:
            p[name] = p[name][order]
        notes, tokens = [notes[i] for i in order], [tokens[i] for i in order]
        for table, parts in (("note", notes), ("token", tokens)):
            ends = np.cumsum([len(part) for part in parts])
            p[table + "_count"][:] = [len(part) for part in parts]
            p[table + "_first"][:] = np.concatenate([[0], ends[:-1]])
        for name, values in p.items():
            put(self.f, "pieces/" + name, values)
        for name in NOTE.names:
            put(self.f, "notes/" + name, np.concatenate(notes)[name])
        put(self.f, "tokens", np.concatenate(tokens))

    def hash(self):
        p = self.pieces
        value = len(p["split"])
        for i in range(value):
            link = [value] + [int(p[n][i]) for n in ("hash_high", "hash_low", "split",
                                                     "note_count", "token_count", "token_hash")]
            value = hash64(np.array(link, "<u8").tobytes())
        return value


def repair_dataset(folder):
    """Recomputes everything derived from the shard's tables of pieces, if readable."""
    with edit(f"{folder}/{SHARD}") as f:
        shard = Shard(f)
        value = shard.hash()
        set_attribute(f, "/", "shard_hash", np.bytes_(f"{value:016x}"))
    with edit(folder + "/index.h5") as f:
        p = shard.pieces
        for name, each in (("pieces", None), ("notes", "note_count"),
                           ("tokens", "token_count"), ("seconds", "seconds")):
            table = f["shards/" + name][...]
            for split in range(3):
                mask = p["split"] == split
                total = 0
                for v in (p[each][mask] if each else [1] * int(mask.sum())):
                    total += v
                table[0, split] = total
            put(f, "shards/" + name, table)
            if name != "seconds":
                set_attribute(f, "/", name, np.int64(min(int(table.sum()), 2**63 - 1)))
        put(f, "shards/hash", np.array([value], "<u8"))
        vocabulary = int(f["vocabulary/hash"][0], 16)
        chain = [vocabulary, 1, hash64(np.array([value], "<u8").tobytes())]
        dataset = hash64(np.array(chain, "<u8").tobytes())
        set_attribute(f, "/", "dataset_hash", np.bytes_(f"{dataset:016x}"))
        if "settings_hash" in f.attrs:  # older datasets lack it
            del f.attrs["settings_hash"]


def change_note(folder, rng):
    name, value = rng.choice(
        [("start", v) for v in EXTREME_NUMBERS] + [("duration", v) for v in EXTREME_NUMBERS] +
        [("pitch", 200), ("velocity", 0), ("velocity", 255), ("program", 255),
         ("channel", 16), ("percussion", 2), ("start_tick", 2**32 - 1),
         ("duration_ticks", 2**32 - 1)])
    with edit(f"{folder}/{SHARD}") as f:
        shard = Shard(f)
        shard.notes[name][rng.randrange(len(shard.notes))] = value
        shard.write()
    return f"notes/{name}: {value}", name not in ("start_tick", "duration_ticks")


def change_token(folder, rng):
    value = rng.choice([65535, 400, 389, 388])
    with edit(f"{folder}/{SHARD}") as f:
        shard = Shard(f)
        shard.tokens[rng.randrange(len(shard.tokens))] = value
        shard.write()
    return f"tokens: {value}", True


def change_piece(folder, rng):
    name = rng.choice(COLUMNS)
    value = rng.choice([3, 200, 255] if name == "split" else EXTREME_NUMBERS)
    with edit(f"{folder}/{SHARD}") as f:
        shard = Shard(f)
        shard.pieces[name][rng.randrange(len(shard.pieces[name]))] = value
        shard.write()
    return f"pieces/{name}: {value}", True


def change_extent(folder, rng):
    name = rng.choice(["note_first", "note_count", "token_first", "token_count"])
    value = rng.choice([2**64 - 1, 2**63, 2**58, 2**40, 7])
    with edit(f"{folder}/{SHARD}") as f:
        data = f["pieces/" + name][...]
        at = rng.randrange(len(data))
        harmless = data[at] == value
        data[at] = value
        put(f, "pieces/" + name, data)
    return f"pieces/{name}: {value}", not harmless


def change_index(folder, rng):
    name = rng.choice(["shards/pieces", "shards/notes", "shards/tokens", "shards/seconds",
                       "files/bytes", "files/notes", "files/seconds", "files/outcome",
                       "vocabulary/names"])
    with edit(folder + "/index.h5") as f:
        data = f[name][...]
        if name == "vocabulary/names":
            value = b"nonsense"
        elif name == "files/outcome":
            value = rng.choice([4, 255])
        elif data.dtype.kind == "f":
            value = rng.choice(EXTREME_NUMBERS)
        else:
            value = rng.choice([2**64 - 1, 2**63, 2**60, 2**41])
        data.reshape(-1)[rng.randrange(data.size)] = value
        put(f, name, data)
        if name in ("shards/pieces", "shards/notes", "shards/tokens"):
            total = sum(int(v) for v in data.reshape(-1)) % 2**63
            set_attribute(f, "/", name[7:], np.int64(total))
    return f"{name}: {value}", not (name == "files/bytes" and value < 2**63)


def change_dataset_attribute(folder, rng):
    owner, name, where = rng.choice(
        [("/", n, "index.h5") for n in ("files", "pieces", "notes", "tokens", "format",
                                        "format_version", "dataset_hash")] +
        [("vocabulary", n, "index.h5") for n in ("encoding", "grid")] +
        [("/", n, SHARD) for n in ("shard", "shard_hash", "format", "format_version")])
    with edit(f"{folder}/{where}") as f:
        if name in ("files", "pieces", "notes", "tokens", "shard") and rng.random() < 0.5:
            value = rng.choice(EXTREME_INTEGERS)
            set_attribute(f, owner, name, np.int64(value))
            return f"{where} {owner}@{name} = {value}", True
        what, refused = other_attribute(f, owner, name, rng)
    return f"{where} {what}", refused


def any_file(mutation):
    def mutate(folder, rng):
        where = rng.choice(["index.h5", SHARD])
        with edit(f"{folder}/{where}") as f:
            what, refused = mutation(f, rng, os.path.dirname(os.path.abspath(folder)))
        return f"{where} {what}", refused
    return mutate


OPTIONAL_OF_DATASETS = ("files/hash", "pieces/path", "notes/port", "notes/percussion")
DATASET_MUTATIONS = [
    (any_file(mutate_storage), 4), (any_file(mutate_link), 2), (any_file(mutate_size), 4),
    (any_file(mutate_extra), 3),
    (any_file(lambda f, rng, here: mutate_deletion(f, rng, OPTIONAL_OF_DATASETS)), 1),
    (change_note, 3), (change_token, 1), (change_piece, 2), (change_extent, 2),
    (change_index, 3), (change_dataset_attribute, 3)]
REPAIRED = (change_note, change_token, change_piece)

# ---- running ----


class Outcome:
    def __init__(self, argv, code, seconds, memory, failure, text):
        self.argv, self.code, self.seconds, self.memory = argv, code, seconds, memory
        self.failure, self.text = failure, text


def limits(sanitized):
    def limit():
        os.setpgid(0, 0)
        if not sanitized:
            resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return limit


def run(tutti, sanitized, *argv):
    began = time.monotonic()
    failure = ""
    with open("stderr.txt", "w+b") as err:
        p = subprocess.Popen([tutti, *argv], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=err,
                             preexec_fn=limits(sanitized))
        while True:
            pid, status, usage = os.wait4(p.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - began > SECONDS:
                failure = "timeout"
                os.killpg(p.pid, signal.SIGKILL)
                pid, status, usage = os.wait4(p.pid, 0)
                break
            time.sleep(0.003)
        p.returncode = 0  # already reaped
        err.seek(0)
        stderr_text = err.read().decode("utf-8", "backslashreplace")
    code = os.waitstatus_to_exitcode(status)
    memory = usage.ru_maxrss << 10
    if re.search(r"AddressSanitizer|runtime error:|LeakSanitizer", stderr_text):
        failure = "crash"
    elif not failure and (code < 0 or code > 2):
        failure = "crash"
    elif not failure and memory > MEMORY and not sanitized:
        failure = "memory"
    elif not failure and code and len(re.findall(r"(?m)^tutti: (?!warning: )", stderr_text)) != 1:
        failure = "unclear"
    return Outcome(argv, code, usage.ru_utime + usage.ru_stime, memory, failure, stderr_text)


class Campaign:
    def __init__(self, options):
        self.options = options
        self.tutti = os.path.abspath(options.tutti)
        self.counts = collections.Counter()
        self.faults = 0
        self.memory, self.seconds = (0, ""), (0, "")
        with open(self.tutti, "rb") as f:
            self.sanitized = b"__asan_init" in f.read()

    def run(self, *argv):
        return run(self.tutti, self.sanitized, *argv)

    def report(self, label, what, kind, outcome=None):
        self.faults += 1
        words = " ".join(outcome.argv) if outcome else ""
        last = outcome.text.strip().splitlines()[-3:] if outcome else []
        print(f"{label}: {kind}: {what}: {words}", *last, sep="\n    ", flush=True)

    def classify(self, label, what, refused, outcomes, must_refuse):
        refusals = 0
        for name, outcome in outcomes.items():
            self.memory = max(self.memory, (outcome.memory, f"{label} {name}: {what}"))
            self.seconds = max(self.seconds, (outcome.seconds, f"{label} {name}: {what}"))
            self.counts["commands"] += 1
            if outcome.failure:
                self.counts[outcome.failure] += 1
                self.report(label, what, outcome.failure, outcome)
            elif outcome.code:
                refusals += 1
            elif refused and name in must_refuse:
                self.counts["invalid file accepted"] += 1
                self.report(label, what, f"accepted by {name}", outcome)
            if self.options.verbose:
                print(f"{label} {name} {outcome.code}: {what}: "
                      f"{outcome.text.strip().splitlines()[-1:]}")
        self.counts["refused by a command or more" if refusals else "harmless"] += 1

    def checkpoint(self, i):
        rng = random.Random(f"{self.options.seed} checkpoint {i}")
        folder = "mutations/run"
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder + "/checkpoints")
        original, name, step = self.originals[i % 2]
        path = f"{folder}/checkpoints/{name}"
        shutil.copy(original, path)
        change = rng.choices(*zip(*CHECKPOINT_MUTATIONS))[0]
        with edit(path) as f:
            what, refused = change(f, rng, os.path.abspath("mutations"))
        outcomes = {
            "inspect": self.run("inspect", path),
            "verify": self.run("inspect", path, "--verify"),
            "diff": self.run("inspect", path, "--diff", original),
            "generate": self.run("generate", path, "-o", "mutations/x.mid", "--seconds", "1"),
            "evaluate": self.run("evaluate", path, "corpus.tutti"),
            "resume": self.run("train", "first.conf", "--resume", "--set", "run.dir=" + folder,
                               "--set", f"train.max_steps={step + 2}",
                               "--set", "run.samples=0"),
        }
        self.classify(f"checkpoint:{i}", what, refused, outcomes, ("verify", "resume"))

    def dataset(self, i):
        rng = random.Random(f"{self.options.seed} dataset {i}")
        folder = "mutations/data"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree("mutations/one.tutti", folder)
        change = rng.choices(*zip(*DATASET_MUTATIONS))[0]
        what, refused = change(folder, rng)
        if change in REPAIRED:
            repair_dataset(folder)
        train = ["train", "first.conf", "--set", "data.dataset=" + folder, "--set",
                 "train.microbatches=1", "--set", "train.max_steps=2", "--set", "run.samples=0"]
        for run_folder in ("mutations/run1", "mutations/run2"):
            shutil.rmtree(run_folder, ignore_errors=True)
        outcomes = {
            "inspect": self.run("inspect", folder),
            "verify": self.run("inspect", folder, "--verify"),
            "shard": self.run("inspect", f"{folder}/{SHARD}"),
            "evaluate": self.run("evaluate", "mutations/first.h5", folder),
            "train": self.run(*train, "--set", "run.dir=mutations/run1"),
            "stream": self.run(*train, "--set", "run.dir=mutations/run2", "--set",
                               "data.memory_mb=4"),
        }
        self.classify(f"dataset:{i}", what, refused, outcomes, ("verify",))

    def prepare(self):
        shutil.rmtree("mutations", ignore_errors=True)
        os.makedirs("mutations")
        os.mkfifo("mutations/pipe")
        with h5py.File("runs/first/checkpoints/latest") as f:
            steps = int(f["history/step"][0])
        half = steps + steps // 2  # within the second epoch
        made = self.run("train", "first.conf", "--set", "run.dir=mutations/half", "--set",
                        f"train.max_steps={half}", "--set", "run.samples=0")
        assert made.code == 0, made.text
        self.originals = [self.save_checkpoint("mutations/half"), self.save_checkpoint("runs/first")]
        made = self.run("preprocess", "corpus", "-o", "mutations/one.tutti", "--shards", "1",
                        "--split", "0.8 0.1 0.1")
        assert made.code == 0, made.text
        self.check_hashes()

    def save_checkpoint(self, run_folder):
        """A copy of a run's last checkpoint, and its name and step."""
        latest = os.path.realpath(f"{run_folder}/checkpoints/latest")
        copy = f"mutations/{os.path.basename(run_folder)}.h5"
        shutil.copy(latest, copy)
        with h5py.File(copy) as f:
            return copy, os.path.basename(latest), int(f.attrs["step"])

    def check_hashes(self):
        """Checks that recomputing the hashes gives the stored ones."""
        shutil.copytree("mutations/one.tutti", "mutations/data")
        with edit(f"mutations/data/{SHARD}") as f:
            Shard(f).write()
        repair_dataset("mutations/data")
        same = self.run("inspect", "mutations/data", "--verify").code == 0
        assert same, "the script computes the hashes of a dataset differently"
        for original, _, _ in self.originals:
            shutil.copy(original, "mutations/copy.h5")
            with edit("mutations/copy.h5") as f:
                repair_weights(f)
            same = self.run("inspect", "mutations/copy.h5", "--verify").code == 0
            assert same, "the script computes the hash of the weights differently"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tutti")
    parser.add_argument("--checkpoints", type=int, default=16)
    parser.add_argument("--datasets", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    campaign = Campaign(options)
    campaign.prepare()
    if options.only:
        kind, number = options.only.split(":")
        getattr(campaign, kind)(int(number))
    else:
        for i in range(options.checkpoints):
            campaign.checkpoint(i)
        for i in range(options.datasets):
            campaign.dataset(i)
    print(f"seed {options.seed}:", ", ".join(f"{n} {k}" for k, n in campaign.counts.items()))
    print(f"peak memory: {campaign.memory[0] >> 20} MB, {campaign.memory[1]}")
    print(f"longest command: {campaign.seconds[0]:.2f} s of CPU time, {campaign.seconds[1]}")
    sys.exit(campaign.faults > 0)


if __name__ == "__main__":
    main()
