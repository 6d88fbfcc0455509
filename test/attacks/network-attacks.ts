import { networkRow, type NetworkRow } from './attack-tables.ts';
import { type FalseReport, falseReports } from './false-reports.ts';
import { computedNetworkLiars, protocolLiars, type NetworkLiar } from './network-liars.ts';
import { networkTrials, type NetworkStand, type NetworkTrial } from './network-trials.ts';
import type { Role, WrenNetwork } from './wren-network.ts';

export interface NetworkAttacks {
  readonly rows: readonly NetworkRow[];
  readonly colluders: readonly NetworkRow[];
  readonly reports: readonly { readonly name: string; readonly tried: number; readonly believed: number }[];
}

interface Attack {
  readonly name: string;
  readonly isCollusion: boolean;
  readonly runs: readonly AsyncGenerator<NetworkTrial>[];
  readonly trials: NetworkTrial[];
}

const accuser = 'a lying shadow that accuses the honest';

/**
 * Runs every liar whose name matches, each in both stages in turn, until each has lied in `chunks` chunks or the time is over; they take
 * turns, so that all come equally far.
 */
export async function attackNetworks(
  stand: NetworkStand,
  chunks: number,
  untilMs: number,
  named: RegExp,
): Promise<NetworkAttacks> {
  const reports: FalseReport[] = [];
  const attacks: Attack[] = [...protocolLiars, ...computedNetworkLiars].map((liar) => {
    const onEnd =
      liar.name === accuser
        ? async (network: WrenNetwork, stage: number) => void reports.push(...(await falseReports(network, stage)))
        : undefined;
    return attack(stand, liar, liar.name, [liar.role], 1, onEnd);
  });
  const colluder = computedNetworkLiars.find(({ name }) => name === 'neighbouring layer’s weights')!;
  attacks.push(
    { ...attack(stand, colluder, 'primary and only shadow', ['primary', 'shadow'], 1), isCollusion: true },
    { ...attack(stand, colluder, 'primary and one of two shadows', ['primary', 'shadow'], 2), isCollusion: true },
  );
  const waiting = new Set(attacks.filter(({ name }) => named.test(name)));
  while (waiting.size > 0 && performance.now() < untilMs) {
    for (const each of waiting) {
      if (performance.now() >= untilMs) break;
      const run = each.runs[each.trials.length % each.runs.length]!;
      each.trials.push((await run.next()).value as NetworkTrial);
      if (each.trials.reduce((sum, { liedChunks }) => sum + liedChunks, 0) >= chunks) waiting.delete(each);
    }
  }
  const rowsOf = (isCollusion: boolean): NetworkRow[] =>
    attacks
      .filter((each) => each.isCollusion === isCollusion && each.trials.length > 0)
      .map(({ name, trials }) => networkRow(name, trials));
  const names = [...new Set(reports.map(({ name }) => name))];
  return {
    rows: rowsOf(false),
    colluders: rowsOf(true),
    reports: names.map((name) => {
      const own = reports.filter((report) => report.name === name);
      return { name, tried: own.length, believed: own.filter(({ isBelieved }) => isBelieved).length };
    }),
  };
}

function attack(
  stand: NetworkStand,
  liar: NetworkLiar,
  name: string,
  roles: readonly Role[],
  shadows: number,
  onEnd?: (network: WrenNetwork, stage: number) => Promise<void>,
): Attack {
  const runs = liar.stages.map((stage) => networkTrials(stand, liar, stage, { roles, shadows, onEnd }));
  return { name, isCollusion: false, runs, trials: [] };
}
