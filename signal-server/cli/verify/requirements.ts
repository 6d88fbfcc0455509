import { InvalidArgumentError } from 'commander';
import type { CheckName } from '#shared/receipt/verify/check.ts';
import { isKnown, type Standing } from '#shared/receipt/verify/whose-word.ts';
import type { Verification } from '#shared/receipt/verify/verify-receipt.ts';

/** The words of `--require`, each with the checks that must then have passed; only checks that can lack something are among them. */
const REQUIRABLE = {
  answer: ['answer'],
  prompt: ['prompt'],
  tokens: ['tokens'],
  model: ['model'],
  thresholds: ['thresholds'],
  log: ['log-entry', 'log-inclusion', 'log-signature'],
  witnesses: ['witnesses'],
  history: ['log-history'],
} as const satisfies Record<string, readonly (CheckName | 'log-history')[]>;

/** The tiers that do for a tier that is required. */
const TIERS = { checked: ['checked'], settled: ['checked', 'settled'] } as const satisfies Record<
  string,
  readonly Standing['tier'][]
>;
const KEY = /^(server|requester)=(?:[0-9a-f]{64}|[A-Za-z0-9+/]{43}=)$/;
const DRAW = 'draw';
const NAMES = [...Object.keys(REQUIRABLE), ...Object.keys(TIERS), DRAW, 'server=KEY', 'requester=KEY'];

/** What must have been shown: by name, or a key as `server=KEY`. */
export type Requirement = string;

/** The list of `--require`. Throws `InvalidArgumentError`. */
export function parseRequirements(text: string): readonly Requirement[] {
  const names = text.split(',');
  const isKnownName = (name: string) =>
    Object.hasOwn(REQUIRABLE, name) || Object.hasOwn(TIERS, name) || name === DRAW || KEY.test(name);
  if (names.every(isKnownName)) return names;
  throw new InvalidArgumentError(
    `Expected some of ${NAMES.join(', ')}, with commas between. A KEY is an id of 64 digits or a raw key in base64.`,
  );
}

/** The keys that are named in them. */
export function knownKeys(required: readonly Requirement[]) {
  const keysOf = (who: string) =>
    required.flatMap((name) => (name.startsWith(`${who}=`) ? [name.slice(who.length + 1)] : []));
  return { servers: keysOf('server'), requesters: keysOf('requester') };
}

/** Those that were not shown. A tier, a key and a draw count only where nothing failed. */
export function missingOf(
  required: readonly Requirement[],
  { standing, summary }: Pick<Verification, 'standing' | 'summary'>,
  hasPassed: (check: CheckName | 'log-history') => boolean,
): Requirement[] {
  return required.filter((name) => {
    if (Object.hasOwn(REQUIRABLE, name)) return !REQUIRABLE[name as keyof typeof REQUIRABLE].every(hasPassed);
    if (standing === null || summary === null) return true;
    if (name === DRAW) return !standing.isDrawn;
    if (Object.hasOwn(TIERS, name)) {
      return !(TIERS[name as keyof typeof TIERS] as readonly string[]).includes(standing.tier);
    }
    const [who, key] = [name.slice(0, name.indexOf('=')), name.slice(name.indexOf('=') + 1)];
    return !isKnown(who === 'server' ? summary.serverKey : summary.requester.publicKey, [key]);
  });
}
