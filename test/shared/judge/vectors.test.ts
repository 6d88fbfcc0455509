import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '#shared/bytes.ts';
import type { SessionId } from '#shared/ids.ts';
import { createSeedChain } from '#shared/judge/seed-chain.ts';
import { readF32, sketchRows } from '#shared/judge/sketch.ts';
import { commitBytes, parseCommit, parseReveal, revealBytes } from '#shared/judge/statement-codec.ts';
import { foldRows, RowChain, ShapeChain } from '#shared/rows/row-chain.ts';
import vectors from '../../vectors/check.json' with { type: 'json' };

const session = (text: string) => text as SessionId;

describe('what another program computed', () => {
  test('row chains', () => {
    const { rows, chain } = vectors.rowChain;
    const built = new RowChain();
    for (const row of rows) built.append(fromHex(row));
    expect(chain.map((_, position) => toHex(built.at(position)))).toEqual(chain);
    expect(toHex(foldRows(fromHex(chain[1]!), rows.slice(1).map(fromHex)))).toBe(chain.at(-1));
  });

  test('chains of runs', () => {
    const { runs, chain } = vectors.shapeChain;
    const built = new ShapeChain();
    for (const [start, count] of runs) built.append(start!, count!);
    expect([0, 1, 33, 34, 64].map((end) => toHex(built.at(end)))).toEqual(chain);
  });

  test('seeds', () => {
    const { secret, seeds } = vectors.seedChain;
    const chain = createSeedChain(fromHex(secret), seeds.length - 1);
    expect([chain.anchor, ...[1, 2, 3, 4].map((index) => chain.seed(index))].map(toHex)).toEqual(seeds);
  });

  test('sketches', () => {
    const { hiddenSize, seed, values, scale, sketch } = vectors.sketch;
    const made = sketchRows(readF32(fromHex(values)), hiddenSize, readF32(fromHex(scale)), fromHex(seed));
    expect(toHex(made)).toBe(sketch);
  });

  test('the signed bytes of a commit', () => {
    const { bytes, inputFrom, inputTo, outputFrom, outputTo, shapes, opening, ...span } = vectors.commit;
    const chains = {
      inputFrom: fromHex(inputFrom),
      inputTo: fromHex(inputTo),
      outputFrom: fromHex(outputFrom),
      outputTo: fromHex(outputTo),
      shapes: fromHex(shapes),
    };
    const commit = { ...span, session: session(span.session), opening: fromHex(opening), ...chains };
    expect(toHex(commitBytes(commit))).toBe(bytes);
    expect(parseCommit(fromHex(bytes))).toEqual(commit);
  });

  test('the signed bytes of a reveal', () => {
    const { bytes, seed, input, output, opening, ...span } = vectors.reveal;
    const values = { seed: fromHex(seed), input: fromHex(input), output: fromHex(output) };
    const reveal = { ...span, session: session(span.session), opening: fromHex(opening), ...values };
    expect(toHex(revealBytes(reveal))).toBe(bytes);
    expect(parseReveal(fromHex(bytes), values.input, values.output)).toEqual(reveal);
  });
});
