import svelte from 'eslint-plugin-svelte';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

/**
 * Rules that need the types of components (`npm run lint-components`, in the thorough run): plain TypeScript has them from
 * oxlint, which reads no components, and typing all of the page for them takes longer than all other lint.
 */
export default defineConfig({
  files: ['**/*.svelte', '**/*.svelte.ts'],
  extends: [tseslint.configs.recommendedTypeChecked, svelte.configs.base],
  linterOptions: { reportUnusedDisableDirectives: 'off' },
  languageOptions: {
    parserOptions: {
      parser: tseslint.parser,
      projectService: true,
      tsconfigRootDir: import.meta.dirname,
      extraFileExtensions: ['.svelte'],
    },
  },
  rules: {
    '@typescript-eslint/no-unused-vars': 'off',
    '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
    // Contracts say Promise where one implementation happens to answer at once.
    '@typescript-eslint/require-await': 'off',
    // Objects here come from factories and close over their state; nothing of them needs `this`.
    '@typescript-eslint/unbound-method': 'off',
    // These rules take every imported component for `any`; svelte-check knows better.
    '@typescript-eslint/no-unsafe-argument': 'off',
    '@typescript-eslint/no-unsafe-assignment': 'off',
    '@typescript-eslint/no-unsafe-call': 'off',
    '@typescript-eslint/no-unsafe-member-access': 'off',
    '@typescript-eslint/no-unsafe-return': 'off',
  },
});
