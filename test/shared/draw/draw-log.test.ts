import { describe, expect, it } from 'vitest';
import { toBase64, utf8 } from '#shared/bytes.ts';
import { drawsEntryBytes, faultInLog, parseDrawsEntry, type LoggedDraw } from '#shared/draw/draw-log.ts';
import { faultInEntry, type OwnEntry } from '#shared/draw/own-entry.ts';
import { entryOf } from '#shared/draw/make-draw.ts';
import { joined } from '#shared/draw/draw-path.ts';
import type { PeerId } from '#shared/ids.ts';
import { DrawnNetwork, MODEL, RANGES, volunteersOf } from '../../support/drawn-routes.ts';
import { repetitions } from '../../support/effort.ts';
import { createRandom } from '../../support/synthetic-weights.ts';

const NETWORK = toBase64(new Uint8Array(16));

function drawOf(counted: number, requester: string, number: number, change: Partial<LoggedDraw> = {}): LoggedDraw {
  return {
    count: { epoch: '0123456789abcdef', network: NETWORK, number: counted },
    requester: requester.repeat(64) as PeerId,
    series: '0'.repeat(16),
    number,
    nonce: (counted * 256 + number).toString(16).padStart(32, '0'),
    outcome: 'drawn',
    ...change,
  };
}

/** Requests of two requesters of one network. */
const LOG = [drawOf(1, 'a', 1), drawOf(2, 'b', 1, { outcome: 'refused' }), drawOf(3, 'a', 2), drawOf(4, 'b', 2)];

describe('the draws in a log', () => {
  it('are read as they were written, and other entries are none', () => {
    expect(parseDrawsEntry(drawsEntryBytes(LOG))).toEqual(LOG);
    const text = new TextDecoder().decode(drawsEntryBytes(LOG));
    for (const other of ['chorus-receipt-entry/1\n', text.slice(0, -1), text.replace(' 1 ', ' 01 '), `${text}\n`]) {
      expect(parseDrawsEntry(utf8(other))).toBeNull();
    }
  });

  it('hold each draw once, under numbers that leave none out', () => {
    for (const draw of LOG) expect(faultInLog(draw, LOG)).toBeNull();
    expect(faultInLog(LOG[0]!, LOG.toReversed())).toBeNull();
  });

  it('show a draw that was hidden', () => {
    expect(faultInLog(drawOf(5, 'a', 3), LOG)).toBe('not-logged');
    expect(faultInLog({ ...LOG[3]!, nonce: '1'.repeat(32) }, LOG)).toBe('not-logged');
    expect(faultInLog({ ...LOG[3]!, outcome: 'chosen' }, LOG)).toBe('not-logged');
  });

  it('show a number that was used twice, or left out', () => {
    const random = createRandom(15);
    for (let i = 0; i < repetitions(20, 1_000); i++) {
      const length = 3 + Math.floor(random() * 20);
      const log = Array.from({ length }, (_, at) => drawOf(at + 1, 'a', at + 1));
      const last = log.at(-1)!;
      const at = Math.floor(random() * (length - 1));
      expect(faultInLog(last, log)).toBeNull();
      expect(faultInLog(last, log.toSpliced(at, 1))).toBe('number-left-out');
      const twice = { ...log[at]!, nonce: 'f'.repeat(32) };
      expect(faultInLog(last, [...log, twice])).toBe('number-twice');
      // A redraw that was hidden: the requester holds a draw that the log never had.
      expect(faultInLog({ ...last, nonce: 'e'.repeat(32) }, log)).toBe('not-logged');
    }
  });
});

describe('a volunteer’s own entry', () => {
  const volunteers = volunteersOf('own', 7);
  const network = new DrawnNetwork('own', volunteers);
  const { roster } = network;
  const node = roster.section(MODEL, RANGES[0]!)!;
  const { key } = volunteers[0]![3]!;
  const { index, look } = entryOf(node, 'lead', key.id)!;
  const entry: OwnEntry = {
    ...{ pool: 'lead', section: node.section, sectionIndex: node.index, sections: roster.tree.size },
    ...{ sectionPath: joined(roster.tree.path(node.index)), root: toBase64(roster.root) },
    ...{ networkIndex: index, memberIndex: 0, look },
  };
  const own = { id: key.id, numericClass: look.numericClass, prefix: '10.0.3', salt: utf8('salt') };

  it('is found right by its volunteer', () => {
    expect(faultInEntry(entry, own)).toBeNull();
  });

  it('shows a false network, class or place', () => {
    for (let i = 0; i < repetitions(20, 1_000); i++) {
      expect(faultInEntry(entry, { ...own, prefix: `10.1.${i}` })).toBe('false-network');
    }
    expect(faultInEntry(entry, { ...own, salt: utf8('other') })).toBe('false-network');
    expect(faultInEntry(entry, { ...own, numericClass: 'wasm' })).toBe('another-class');
    expect(faultInEntry(entry, { ...own, id: volunteers[0]![4]!.key.id })).toBe('another-key');
    expect(faultInEntry({ ...entry, networkIndex: (index + 1) % 7 }, own)).toBe('not-in-roster');
    expect(faultInEntry({ ...entry, look: { ...look, speed: 40 } }, own)).toBe('not-in-roster');
    expect(faultInEntry({ ...entry, pool: 'steady' }, own)).toBe('not-in-roster');
  });
});
