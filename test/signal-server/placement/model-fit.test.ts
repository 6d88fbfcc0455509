import { expect, it } from 'vitest';
import type { Digest, PeerId } from '#shared/ids.ts';
import { describeLack, lackOf, modelSupply, needOf } from '../../../signal-server/placement/model-fit.ts';
import { chooseMoves } from '../../../signal-server/placement/placement-moves.ts';
import { choosePlace, whyIdle, type Hand } from '../../../signal-server/placement/placement.ts';
import { planModel, type PlannedModel } from '../../../signal-server/placement/planned-model.ts';
import type { UnitSpan } from '../../../signal-server/placement/stage-grid.ts';
import { shapeManifest, type ShapeName } from '../../support/shape-manifest.ts';

const planned = (name: ShapeName, digit = 'a'): PlannedModel =>
  planModel(digit.repeat(64) as Digest, shapeManifest(name), 1, true);
const smol = planned('smollm2');
const qwen = planned('qwen3', 'b');
const [left, right] = smol.grid.filter(
  (span) => !smol.grid.some((other) => other !== span && other.start <= span.start && other.end >= span.end),
) as [UnitSpan, UnitSpan];

function hand(id: string, model: PlannedModel | null, span?: UnitSpan, pledgeBytes = 512e6): Hand {
  const placed = model === null || span === undefined ? null : { model: model.digest, span };
  const state = { layerMs: 1, held: [], failed: [], placed, isReady: true, mayMove: true };
  const own = { id: id as PeerId, network: id, isAnchor: false, isNew: false };
  return {
    ...own,
    backend: 'wasm',
    hasProcessor: true,
    runtimeVersion: smol.runtimeVersion,
    pledgeBytes,
    slots: 2,
    ...state,
  };
}

it('a plan says how many default volunteers a model needs, and the least that one has to lend', () => {
  expect(needOf(smol)).toMatchObject({ servable: 2, checked: 4 });
  const { leastPledge, servable } = needOf(qwen);
  expect(servable).toBeNull();
  const device = { backend: 'wasm', slots: 2 } as const;
  expect(needOf(qwen, { ...device, pledgeBytes: leastPledge }).servable).not.toBeNull();
  expect(needOf(qwen, { ...device, pledgeBytes: leastPledge - 1 }).servable).toBeNull();
});

it('what a model lacks shrinks with each volunteer that comes', () => {
  const come = [hand('a', smol, left), hand('b', smol, right), hand('c', smol, left), hand('d', smol, right)];
  const lacks = [0, 1, 2, 3, 4].map((count) => lackOf(smol, come.slice(0, count)));
  expect(lacks).toEqual([
    { servable: 2, checked: 4 },
    { servable: 1, checked: 3 },
    { servable: 0, checked: 2 },
    { servable: 0, checked: 1 },
    { servable: 0, checked: 0 },
  ]);
  expect(describeLack(smol, come)).toBeNull();
  expect(describeLack(smol, come.slice(0, 3))).toBe('1 more volunteer lending 512 MB for checked answers');
});

it('a model that nobody here can hold a part of gets nobody, and who is idle hears how much would do', () => {
  const tab = hand('a', null);
  expect(choosePlace(tab, [hand('b', null)], [qwen])).toBeNull();
  expect(whyIdle(tab, [qwen])).toMatch(/nobody here lends enough for the head of qwen3.*693 MB/);
  expect(describeLack(qwen, [tab])).toMatch(/^a volunteer that lends 693 MB for the head/);
  expect(choosePlace(tab, [hand('b', null, undefined, 1e9)], [qwen])).not.toBeNull();
});

it('what is asked for takes room from what nobody asks for, and a model that is asked for keeps its own', () => {
  const other = planned('smollm2', 'c');
  const hands = ['a', 'b', 'c', 'd'].map((id, i) => hand(id, other, i % 2 === 0 ? left : right));
  expect(chooseMoves(hands, [other, smol], new Set([other.digest]))).toEqual([]);
  const moves = chooseMoves(hands, [other, smol], new Set([smol.digest]));
  expect(moves.map(({ model }) => model)).toEqual([smol.digest, smol.digest]);
  expect(modelSupply(smol, hands)).toMatchObject({ isAsleep: true });
});

it('all that the pairs of a model need that is asked for are moved at once, of one that is not, one', () => {
  const other = planned('smollm2', 'c');
  const hands = [hand('a', smol, left), hand('b', smol, right), hand('c', other, left), hand('d', other, right)];
  const moves = chooseMoves(hands, [other, smol], new Set([smol.digest]));
  expect(moves.map(({ id, span }) => [id, span])).toEqual([
    ['c', left],
    ['d', right],
  ]);
  expect(chooseMoves(hands, [other, smol])).toEqual([]);
  const spare = [...hands.slice(0, 2), ...['e', 'f', 'g'].map((id) => hand(id, smol, left))];
  expect(chooseMoves(spare, [smol])).toHaveLength(1);
});

it('nobody leaves layers to nobody in order to hold others', () => {
  const part = smol.grid.find(({ start, end }) => start === left.start && end < left.end)!;
  const hands = [hand('a', smol, part, 300e6), hand('b', smol, { start: part.end, end: left.end }, 300e6)];
  for (const move of chooseMoves(hands, [smol])) {
    const others = hands.filter(({ id }) => id !== move.id).map(({ placed }) => placed!.span);
    const lost = hands.find(({ id }) => id === move.id)!.placed!.span;
    for (let unit = lost.start; unit < lost.end; unit++)
      expect([move.span, ...others].some(({ start, end }) => start <= unit && unit < end)).toBe(true);
  }
});
