import type { z } from 'zod';
import { formWords } from '#shared/form-words.ts';
import { configSchema, type Config } from '../../machine/config.ts';
import { isLoopback } from '../terminal/addresses.ts';
import { UsageError } from '../terminal/usage-error.ts';

export interface ServeOptions {
  readonly port?: string;
  readonly host?: string;
  readonly anchors?: string;
  readonly standIns?: string;
  readonly anchorPledge?: string;
  readonly anchorSlots?: string;
  readonly data?: string;
  readonly model?: string[];
  readonly minStages?: string;
  readonly admissionWork?: string;
  readonly iceServers?: string;
  readonly turnUrls?: string[];
  readonly turnSecret?: string;
  readonly publicUrl?: string;
  readonly allowOrigin?: string[];
  readonly trustProxy?: boolean;
  readonly relayByDefault?: boolean;
  readonly logOrigin?: string;
  readonly witness?: string[];
  readonly unwitnessedStart?: boolean;
  readonly newServerKey?: boolean;
  readonly newDatabase?: boolean;
  readonly receiptDays?: string;
  readonly receiptCount?: string;
  readonly receiptBytes?: string;
  readonly limit?: string[];
  readonly logLevel?: string;
}

/** Variables that stand for options. */
const VARIABLES: Readonly<Partial<Record<keyof ServeOptions, string>>> = {
  port: 'PORT',
  host: 'HOST',
  anchors: 'CHORUS_ANCHORS',
  anchorPledge: 'CHORUS_ANCHOR_PLEDGE',
  anchorSlots: 'CHORUS_ANCHOR_SLOTS',
  data: 'CHORUS_DATA',
  logLevel: 'CHORUS_LOG_LEVEL',
  iceServers: 'CHORUS_ICE_SERVERS',
  turnSecret: 'CHORUS_TURN_SECRET',
};
/** Options that the configuration has by another name. */
const RENAMED: Readonly<Record<string, string>> = {
  data: 'dataFolder',
  allowOrigin: 'allowedOrigins',
  witness: 'witnesses',
  model: 'models',
};

/** Options win over the environment, and that over the defaults. Throws UsageError that names what is wrong. */
export function configOf(options: ServeOptions, env: Readonly<Record<string, string | undefined>>): Config {
  const sources = new Map<string, string>();
  const given: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const option = optionName(name);
    if (typeof value === 'string' && value.trim() === '') throw new UsageError(`${option} has no value`);
    sources.set(name, option);
    given[name] = value;
  }
  for (const [name, variable] of Object.entries(VARIABLES)) {
    const value = env[variable]?.trim() ?? '';
    if (value === '' || name in given) continue;
    sources.set(name, variable);
    given[name] = value;
  }
  given['turnUrls'] ??= env['CHORUS_TURN_URLS']?.split(/[\s,]+/);
  const { turnUrls, turnSecret, iceServers, standIns, limit, ...rest } = given;
  if (typeof standIns === 'string' && !/^\d{1,7}$/.test(standIns)) {
    throw new UsageError(`--stand-ins '${standIns.slice(0, 100)}': a whole number of MiB, 0 for none`);
  }
  if ((turnUrls === undefined) !== (turnSecret === undefined)) {
    throw new UsageError('half a TURN server: give both --turn-urls and its secret');
  }
  const named = {
    ...Object.fromEntries(Object.entries(rest).map(([name, value]) => [RENAMED[name] ?? name, value])),
    ...(typeof iceServers === 'string' && { iceServers: parseJson(iceServers, sources.get('iceServers')!) }),
    ...(standIns !== undefined && { hidden: { standInBytes: 2 ** 20 * Number(standIns) } }),
    ...(limit !== undefined && { limits: limitsOf(limit as string[]) }),
    ...(turnUrls !== undefined && { turn: { urls: turnUrls, secret: turnSecret } }),
  };
  const parsed = configSchema.safeParse(named, { error: formWords });
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => describeIssue(issue, given, sources));
  throw new UsageError([...new Set(faults)].join('; '));
}

/** Each is `name=number`, or `name=perSecond/burst` for a rate. Throws UsageError for one that is neither. */
function limitsOf(given: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    given.map((text) => {
      const [, name, first, burst] = /^(\w+)=(\d+(?:\.\d+)?)(?:\/(\d+(?:\.\d+)?))?$/.exec(text) ?? [];
      if (name === undefined || !(name in configSchema.shape.limits.def.innerType.shape))
        throw new UsageError(
          `--limit '${text.slice(0, 100)}': the name of a limit, =, and a number or PER_SECOND/BURST`,
        );
      return [name, burst === undefined ? Number(first) : { perSecond: Number(first), burst: Number(burst) }];
    }),
  );
}

/** What a configuration lets expect that goes wrong later, in sentences for the operator. */
export function adviceOn({ publicUrl, trustProxy, limits }: Config): string[] {
  if (publicUrl === null) return [];
  const { protocol, hostname } = new URL(publicUrl);
  const advice: string[] = [];
  if (protocol === 'https:' && !trustProxy) {
    advice.push(
      'The public URL is https, so a proxy stands before this server. Without --trust-proxy all who come through it count as ' +
        `one address, which may have ${limits.connectionsPerAddress} connections open at once: add it if your proxy writes X-Forwarded-For.`,
    );
  }
  if (protocol === 'http:' && !isLoopback(hostname)) {
    advice.push(
      'The public URL is plain http, where browsers give no keys: pages opened there show the network and verify receipts, but can neither ask nor lend. Put a proxy with https before the server.',
    );
  }
  return advice;
}

function describeIssue(
  issue: z.core.$ZodIssue,
  given: Readonly<Record<string, unknown>>,
  sources: ReadonlyMap<string, string>,
): string {
  const field = String(issue.path[0]);
  if (field === 'limits') return `--limit ${String(issue.path[1])}: ${issue.message}`;
  const name = Object.keys(RENAMED).find((option) => RENAMED[option] === field) ?? field;
  const source = sources.get(name) ?? (field === 'turn' ? '--turn-urls' : optionName(name));
  const value = given[name];
  // ICE servers have credentials in them.
  const said = typeof value === 'string' && name !== 'iceServers' ? ` '${value.slice(0, 100)}'` : '';
  return `${source}${said}: ${issue.message}`;
}

function optionName(name: string): string {
  return `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function parseJson(text: string, source: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`${source} is not JSON`);
  }
}
