"""Compares the tokens of the remi encoding with those of MidiTok's REMI.

usage: agreement.py TUTTI [FOLDER ...]

Every MIDI file of the folders (none: random music) is encoded by `tutti preprocess` and by
MidiTok with the same vocabulary, tempos and time signatures. MidiTok's tokens are then
changed as follows, which are the intended differences:

- notes of a position are ordered by program and pitch; those of equal program and pitch are
  merged, with the largest velocity and duration
- bars before the first note are dropped, and what follows the last note
- a TEMPO that is in force already is dropped, with its position if nothing else is there

The notes that MidiTok receives are those that tutti read from the file, because the two
readers differ in faulty files and in the end of overlapping notes.
"""

import glob
import os
import subprocess
import sys
import warnings

import h5py
import numpy
import symusic
from miditok import REMI, TokenizerConfig

POSITIONS = 8
SIGNATURES = {2: list(range(1, 5)), 4: list(range(1, 13)), 8: list(range(1, 17))}
OPTIONS = ["--encoding", "remi", "--programs", "keep", "--drums", "keep", "--pedal", "ignore",
           "--max-silence-seconds", "0",
           "--split", "1 0 0"]


def make_tokenizer():
    return REMI(TokenizerConfig(
        pitch_range=(0, 127), drums_pitch_range=(0, 127),
        beat_res={(0, 4): POSITIONS, (4, 12): POSITIONS // 2}, num_velocities=32,
        use_programs=True, use_tempos=True, num_tempos=32, tempo_range=(40, 250),
        delete_equal_successive_tempo_changes=True, use_time_signatures=True,
        time_signature_range=SIGNATURES))


# ---- pieces of a dataset ----


def read_pieces(dataset):
    """Yields path, token names, note columns and ticks per beat of every piece."""
    with h5py.File(f"{dataset}/index.h5") as index:
        names = [name.decode() for name in index["vocabulary/names"]]
    for path in sorted(glob.glob(f"{dataset}/shard-*.h5")):
        with h5py.File(path) as shard:
            pieces = {key: shard["pieces"][key][:] for key in shard["pieces"]}
            notes = {key: shard["notes"][key][:] for key in shard["notes"]}
            tokens = shard["tokens"][:]
        for i, name in enumerate(pieces["path"]):
            first, count = pieces["token_first"][i], pieces["token_count"][i]
            own = slice(pieces["note_first"][i],
                        pieces["note_first"][i] + pieces["note_count"][i])
            yield (name.decode(), [names[t] for t in tokens[first:first + count]],
                   {key: column[own] for key, column in notes.items()},
                   pieces["ticks_per_beat"][i])


def replace_notes(score, notes):
    """Gives the score the notes of the dataset."""
    score.tracks.clear()
    drums = notes["percussion"] > 0
    for program in sorted(set(numpy.where(drums, -1, notes["program"].astype(int)))):
        chosen = drums if program < 0 else ~drums & (notes["program"] == program)
        track = symusic.Track(program=max(int(program), 0), is_drum=bool(program < 0))
        for start, length, pitch, velocity in zip(
                notes["start_tick"][chosen], notes["duration_ticks"][chosen],
                notes["pitch"][chosen], notes["velocity"][chosen]):
            track.notes.append(
                symusic.Note(int(start), int(length), int(pitch), int(velocity)))
        track.notes.sort(key=lambda n: (n.time, n.duration, n.pitch))
        score.tracks.append(track)


# ---- MidiTok's tokens, with the intended differences ----


def our_name(token):
    kind, value = token.split("_")
    if kind == "Bar":
        return "BAR"
    if kind == "Velocity":
        return f"VELOCITY {(int(value) - 3) // 4}"
    if token == "Program_-1":
        return "PROGRAM drums"
    names = {"Position": "POSITION", "TimeSig": "TIME_SIGNATURE", "Tempo": "TEMPO",
             "Program": "PROGRAM", "Pitch": "PITCH", "PitchDrum": "PITCH_DRUM",
             "Duration": "DURATION"}
    return f"{names[kind]} {float(value):.2f}" if kind == "Tempo" else f"{names[kind]} {value}"


def beats(duration):
    whole, part, parts = map(int, duration.split(" ")[1].split("."))
    return whole + part / parts


def split_bars(tokens):
    """A list of bars: (time signature, {position: (tempo or None, notes)})."""
    bars, at = [], 0
    while at < len(tokens):
        kind = tokens[at].split(" ")[0]
        if kind == "BAR":
            bars.append([None, {}])
        elif kind == "TIME_SIGNATURE":
            bars[-1][0] = tokens[at]
        elif kind == "POSITION":
            entry = bars[-1][1].setdefault(int(tokens[at].split(" ")[1]), [None, []])
        elif kind == "TEMPO":
            entry[0] = tokens[at]
        else:
            entry[1].append(tokens[at:at + 4])
            at += 3
        at += 1
    return bars


def merge(notes):
    merged = {}
    for program, pitch, velocity, duration in notes:
        number = 128 if program.endswith("drums") else int(program.split(" ")[1])
        key = (number, int(pitch.split(" ")[1]))
        old = merged.get(key, (program, pitch, velocity, duration))
        merged[key] = (program, pitch,
                       max(old[2], velocity, key=lambda v: int(v.split(" ")[1])),
                       max(old[3], duration, key=beats))
    return [token for key in sorted(merged) for token in merged[key]]


def normalise(tokens):
    bars = split_bars([our_name(token) for token in tokens])
    sounding = [i for i, bar in enumerate(bars) if any(n for _, n in bar[1].values())]
    if not sounding:
        return []
    out, tempo, written = [], None, None
    for i, (signature, positions) in enumerate(bars[:sounding[-1] + 1]):
        last = max((p for p, (_, n) in positions.items() if n), default=-1)
        started = i >= sounding[0]
        if started:
            out += ["BAR", signature]
        for position in sorted(set(positions) | ({0} if i == sounding[0] else set())):
            new_tempo, notes = positions.get(position, (None, []))
            tempo = new_tempo or tempo
            if not started or (i == sounding[-1] and position > last):
                continue
            if tempo != written or notes:
                out.append(f"POSITION {position}")
            if tempo != written:
                out.append(tempo)
                written = tempo
            out += merge(notes)
    return out


# ---- comparison ----


def explain(score, signatures):
    """The known cause of a difference."""
    found = [(s.numerator, s.denominator) for s in signatures]
    if any(n not in SIGNATURES.get(d, []) for n, d in found):
        return "a time signature that MidiTok ignores"
    if len({d for _, d in found} | ({4} if not signatures or signatures[0].time else set())) > 1:
        return "MidiTok rounds twice where beats differ in length"
    return None


def compare(tutti, folder, tokenizer, work):
    dataset = f"{work}/dataset"
    subprocess.run([tutti, "preprocess", folder, "-o", dataset, "--replace", "--shards", "1",
                    *OPTIONS], check=True, capture_output=True)
    equal, causes = 0, {}
    for path, tokens, notes, ticks_per_beat in read_pieces(dataset):
        try:
            score = symusic.Score(os.path.join(os.path.dirname(folder), path))
        except Exception:  # a file that only tutti reads
            causes.setdefault("a file that symusic does not read", []).append(path)
            continue
        replace_notes(score, notes)
        signatures = [s for s in score.time_signatures]
        expected = normalise(tokenizer.encode(score).tokens)
        if expected == tokens:
            equal += 1
        else:
            at = next((i for i, (a, b) in enumerate(zip(expected, tokens)) if a != b), -1)
            cause = explain(score, signatures)
            cause = cause or f"{path}: token {at}: {tokens[at - 2:at + 6]}, " \
                             f"MidiTok {expected[at - 2:at + 6]}"
            causes.setdefault(cause, []).append(path)
    return equal, causes


def random_music(seed, path):
    rng = numpy.random.default_rng(seed)
    score = symusic.Score(int(rng.choice([24, 96, 220, 480])))
    beat = score.ticks_per_quarter
    denominator = int(rng.choice([4, 8]))
    for i in range(int(rng.integers(0, 4))):
        score.time_signatures.append(symusic.TimeSignature(
            int(rng.integers(0, 60 * beat)) if i else 0, int(rng.integers(1, 13)), denominator))
    if not score.time_signatures and denominator == 8:
        score.time_signatures.append(symusic.TimeSignature(0, 6, 8))
    for _ in range(int(rng.integers(0, 12))):
        score.tempos.append(symusic.Tempo(int(rng.integers(0, 60 * beat)),
                                          float(rng.integers(30, 270))))
    score.time_signatures.sort(key=lambda s: s.time)
    score.tempos.sort(key=lambda t: t.time)
    for _ in range(int(rng.integers(1, 5))):
        track = symusic.Track(program=int(rng.integers(0, 128)), is_drum=rng.random() < 0.2)
        time = int(rng.integers(0, 12 * beat))
        for _ in range(int(rng.integers(1, 150))):
            track.notes.append(symusic.Note(time, int(rng.integers(1, 15 * beat)),
                                            int(rng.integers(0, 128)),
                                            int(rng.integers(1, 128))))
            time += int(rng.integers(0, beat)) * int(rng.integers(0, 2))
        score.tracks.append(track)
    score.dump_midi(path)


def main(tutti, folders):
    warnings.filterwarnings("ignore")
    tokenizer, failed = make_tokenizer(), 0
    if not folders:
        os.makedirs("random", exist_ok=True)
        for seed in range(60):
            random_music(seed, f"random/{seed}.mid")
        folders = ["random"]
    for folder in (folder.rstrip("/") for folder in folders):
        equal, causes = compare(tutti, folder, tokenizer, ".")
        print(f"{folder}: {equal} files equal" + "".join(
            f"\n  {len(paths)} differ: {cause}" for cause, paths in causes.items()))
        failed += sum(len(paths) for cause, paths in causes.items() if ": token " in cause)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
