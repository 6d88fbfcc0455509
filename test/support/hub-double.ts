import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const gitName = (bytes: Uint8Array): string =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');

export interface HubFaults {
  /** The connection ends after so many bytes of each answer with a file's bytes, as often as is said. */
  cuts: { after: number; times: number };
  /** Answers with one byte changed. */
  wrong: number;
  hasRanges: boolean;
  /** Requests that are told to wait a second, in turn by each header. */
  busy: number;
  /** All is refused with this status and code. */
  refuses: { status: number; code: string } | null;
  /** Who has no such token is refused. */
  token: string | null;
}

/** A server that speaks the protocol of Hugging Face's hub for one repository: revisions, pages of the tree, redirects to another host. */
export interface HubDouble {
  readonly url: string;
  readonly commit: string;
  readonly faults: HubFaults;
  /** Paths of the requests, those of the other host with `cdn` before them; and whether a token came with each. */
  readonly requests: { path: string; range: string | null; hasToken: boolean }[];
  stop(): Promise<void>;
}

/** Files larger than `lfsBytes` lie on the other host. */
export async function startHub(
  repository: string,
  files: Readonly<Record<string, Uint8Array>>,
  lfsBytes = 1000,
): Promise<HubDouble> {
  const commit = '1234567890abcdef1234567890abcdef12345678';
  const faults: HubFaults = {
    cuts: { after: 0, times: 0 },
    wrong: 0,
    hasRanges: true,
    busy: 0,
    refuses: null,
    token: null,
  };
  const requests: HubDouble['requests'] = [];
  const paths = Object.keys(files).sort();
  const isLarge = (path: string) => files[path]!.length > lfsBytes;

  const sendBytes = (
    request: IncomingMessage,
    response: ServerResponse,
    whole: Uint8Array,
    headers: Record<string, string>,
  ): void => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const isRange = faults.hasRanges && from > 0;
    if (isRange && from >= whole.length) return void response.writeHead(416).end();
    let bytes = whole.slice(isRange ? from : 0);
    if (faults.wrong > 0 && bytes.length > 0) {
      faults.wrong -= 1;
      bytes[bytes.length >> 1]! ^= 1;
    }
    response.writeHead(isRange ? 206 : 200, {
      ...headers,
      'content-length': bytes.length,
      ...(isRange && { 'content-range': `bytes ${from}-${whole.length - 1}/${whole.length}` }),
    });
    if (faults.cuts.times > 0 && bytes.length > faults.cuts.after) {
      faults.cuts.times -= 1;
      bytes = bytes.slice(0, faults.cuts.after);
      response.write(bytes, () => response.socket?.end());
    } else response.end(bytes);
  };

  const cdn = createServer((request, response) => {
    requests.push({
      path: `cdn${request.url}`,
      range: request.headers.range ?? null,
      hasToken: request.headers.authorization !== undefined,
    });
    const path = paths.find((each) => `/${sha256(files[each]!)}` === request.url);
    if (path === undefined) return void response.writeHead(404).end();
    sendBytes(request, response, files[path]!, { etag: `"${sha256(files[path]!)}"` });
  });

  const hub = createServer((request, response) => {
    const url = new URL(request.url!, 'http://hub');
    requests.push({
      path: request.url!,
      range: request.headers.range ?? null,
      hasToken: request.headers.authorization !== undefined,
    });
    const json = (body: unknown, headers: Record<string, string> = {}) =>
      void response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
    const refuse = (status: number, code: string) =>
      void response
        .writeHead(status, { 'x-error-code': code, 'content-type': 'application/json' })
        .end('{"error":"no"}');
    if (faults.busy > 0) {
      faults.busy -= 1;
      const headers: Record<string, string> =
        faults.busy % 2 === 0 ? { 'retry-after': '1' } : { ratelimit: '"api";r=0;t=1' };
      return void response.writeHead(429, headers).end();
    }
    if (faults.refuses !== null) return refuse(faults.refuses.status, faults.refuses.code);
    if (faults.token !== null && request.headers.authorization !== `Bearer ${faults.token}`)
      return refuse(401, 'GatedRepo');
    const revision = /^\/api\/models\/([^/]+\/[^/]+)\/revision\/([^/]+)$/.exec(url.pathname);
    if (revision !== null) {
      if (revision[1] !== repository) return refuse(401, 'RepoNotFound');
      if (!['HEAD', 'main', 'v1', commit].includes(revision[2]!)) return refuse(404, 'RevisionNotFound');
      return json({
        _id: '1',
        id: repository,
        sha: commit,
        private: false,
        gated: faults.token === null ? false : 'manual',
        cardData: { license: 'apache-2.0' },
        lastModified: '2026-01-01T00:00:00Z',
      });
    }
    if (url.pathname === `/api/models/${repository}/tree/${commit}`) {
      // Two pages, as large repositories have.
      const isSecond = url.searchParams.get('cursor') === '2';
      const half = Math.ceil(paths.length / 2);
      const next = `${url.pathname}?recursive=true&cursor=2`;
      return json(
        (isSecond ? paths.slice(half) : paths.slice(0, half)).map((path) => ({
          ...{ type: 'file', path, size: files[path]!.length, oid: gitName(files[path]!) },
          ...(isLarge(path) && { lfs: { oid: sha256(files[path]!), size: files[path]!.length, pointerSize: 130 } }),
        })),
        isSecond ? {} : { link: `<${addressOf(hub)}${next}>; rel="next"` },
      );
    }
    const path = decodeURIComponent(url.pathname.replace(`/${repository}/resolve/${commit}/`, ''));
    if (!(path in files)) return refuse(404, 'EntryNotFound');
    if (!isLarge(path)) return sendBytes(request, response, files[path]!, { etag: `"${gitName(files[path]!)}"` });
    const location = `${addressOf(cdn)}/${sha256(files[path]!)}`;
    response
      .writeHead(302, {
        location,
        'x-linked-etag': `"${sha256(files[path]!)}"`,
        'x-linked-size': files[path]!.length,
        'x-repo-commit': commit,
      })
      .end();
  });

  await Promise.all(
    [hub, cdn].map((server) => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))),
  );
  return {
    url: addressOf(hub),
    commit,
    faults,
    requests,
    async stop() {
      for (const server of [hub, cdn]) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  };
}

function addressOf(server: ReturnType<typeof createServer>): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
