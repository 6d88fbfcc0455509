import { readFileSync } from 'node:fs';
import { createTypeScriptImportResolver } from 'eslint-import-resolver-typescript';
import { importX } from 'eslint-plugin-import-x';
import svelte from 'eslint-plugin-svelte';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

const shapeRules = {
  'no-restricted-syntax': [
    'error',
    { selector: 'TSEnumDeclaration', message: 'Use a union of strings.' },
    { selector: '[accessibility="private"]', message: 'Use #private.' },
  ],
  'no-warning-comments': ['error', { terms: ['todo', 'fixme', 'xxx'] }],
  'max-lines': ['error', { max: 500 }],
};

/** Arrows point down only: page, worker and server know `shared`; `shared` knows nobody. */
const zones = [
  { target: './shared', from: '.', except: ['./shared', './node_modules'] },
  {
    target: './web',
    from: ['./worker', './signal-server', './test'],
    message: 'The page names the worker by URL only.',
  },
  { target: './worker', from: ['./web', './signal-server', './test'] },
  { target: './signal-server', from: ['./web', './worker', './test'] },
  {
    target: './signal-server/store',
    from: './signal-server',
    except: ['./store'],
    message: 'Ports know none of the rooms that use them.',
  },
  {
    target: ['./signal-server/*.ts', './signal-server/!(cli|store)/**', './signal-server/store/{*.ts,memory/**}'],
    from: './signal-server/store/sqlite',
    message: 'A command chooses the store; all others know its port.',
  },
  ...floorZones(),
];

/** In a house of floors (scripts/floors.json) each room imports from the floors below its own; what lies loose in the house, from no room of it. */
function floorZones() {
  const floors = JSON.parse(readFileSync(new URL('scripts/floors.json', import.meta.url), 'utf8'));
  return Object.entries(floors).flatMap(([house, rooms]) => {
    const path = (room) => `./${house}/${room}`;
    const all = rooms.flat().map(path);
    const ofRooms = rooms.flatMap((floor, level) =>
      floor.map((room) => ({
        target: path(room),
        from: rooms
          .slice(level)
          .flat()
          .filter((other) => other !== room)
          .map(path),
        message: 'Floors import from those below them (scripts/floors.json).',
      })),
    );
    return [
      ...ofRooms.filter(({ from }) => from.length > 0),
      {
        target: `./${house}/*.ts`,
        from: all,
        message: 'What lies loose in a house of floors imports from none of its rooms.',
      },
    ];
  });
}

const engines = [
  {
    group: ['onnxruntime-web', 'onnxruntime-web/*'],
    message: 'Only worker/runtime.ts loads the runtime.',
    allowTypeImports: true,
  },
  { regex: '^peer(/|$)', message: 'Only signal-server/control/peer-mount.ts mounts PeerServer.' },
  { group: ['libsql', 'libsql/*'], message: 'Only signal-server/store/sqlite/ knows the database.' },
];

const restrictImports = (...patterns) => ({ '@typescript-eslint/no-restricted-imports': ['error', { patterns }] });

export default defineConfig(
  { linterOptions: { reportUnusedDisableDirectives: 'off' } },
  globalIgnores(['dist/', 'data/', 'coverage/', 'models/', 'test-results/', '**/.vite/']),
  {
    files: ['**/*.ts', '**/*.svelte'],
    plugins: { 'import-x': importX, '@typescript-eslint': tseslint.plugin },
    languageOptions: { parser: tseslint.parser },
    settings: {
      'import-x/extensions': ['.ts'],
      'import-x/parsers': { '@typescript-eslint/parser': ['.ts'] },
      'import-x/resolver-next': [createTypeScriptImportResolver({ project: './tsconfig.json' })],
    },
    rules: {
      ...shapeRules,
      'import-x/no-restricted-paths': ['error', { zones }],
      ...restrictImports(...engines),
    },
  },
  {
    files: ['**/*.svelte', '**/*.svelte.ts'],
    extends: [tseslint.configs.recommended, svelte.configs.recommended],
    languageOptions: { parserOptions: { parser: tseslint.parser } },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-import-type-side-effects': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      eqeqeq: 'error',
      'no-console': 'error',
    },
  },
  {
    files: ['shared/**/*.ts'],
    rules: {
      ...restrictImports(...engines, {
        regex: '^(node:|(fs|path|crypto|ws|idb|peerjs|express|vite|svelte)(/|$))',
        message: '`shared` has no I/O of its own.',
      }),
      'no-restricted-globals': [
        'error',
        ...['window', 'document', 'navigator', 'fetch', 'WebSocket', 'process', 'Buffer', 'console', 'performance'],
        ...['setTimeout', 'setInterval', 'localStorage', 'indexedDB', 'RTCPeerConnection'],
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'Take a Clock.' },
        { object: 'Math', property: 'random', message: 'Take RandomBytes.' },
      ],
    },
  },
  { files: ['worker/runtime.ts'], rules: restrictImports(engines[1], engines[2]) },
  { files: ['signal-server/control/peer-mount.ts'], rules: restrictImports(engines[0], engines[2]) },
  {
    files: ['signal-server/store/sqlite/**', 'test/signal-server/store/sqlite/**'],
    rules: restrictImports(engines[0], engines[1]),
  },
);
