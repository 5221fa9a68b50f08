// Icons, drawn inline so that nothing is fetched.

export function Logo() {
  return (
    <svg class="logo" width="18" height="18" viewBox="0 0 16 16" aria-hidden="true">
      <defs>
        <linearGradient id="logo-fire" x1="0" y1="1" x2="1" y2="0">
          <stop offset="0" stop-color="#ff4d3d" />
          <stop offset="1" stop-color="#ffa63d" />
        </linearGradient>
      </defs>
      <rect width="16" height="16" rx="4" fill="url(#logo-fire)" />
      <path
        d="M8 2.5c.6 2.4 3.6 3.6 3.6 6.9A3.6 3.6 0 0 1 8 13a3.6 3.6 0 0 1-3.6-3.6c0-1.5.8-2.6 1.6-3.4.1 1 .5 1.6 1.1 1.9C6.8 5.9 7 4.2 8 2.5z"
        fill="#fff3e0"
      />
    </svg>
  );
}

const PATHS = {
  moon: 'M13 9.5A5.5 5.5 0 0 1 6.5 3a5.5 5.5 0 1 0 6.5 6.5z',
  sun: 'M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1',
  down: 'M4 6.5 8 10.5 12 6.5',
  close: 'M4 4l8 8M12 4l-8 8',
  plus: 'M8 3v10M3 8h10',
  reload: 'M13 8a5 5 0 1 1-1.5-3.6M13 2v3h-3',
  copy: 'M5.5 5.5h7v8h-7zM3.5 10.5v-8h7',
  zoom: 'M7 3a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM10 10l3.5 3.5M5 7h4M7 5v4',
} as const;

export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg class="icon" width="14" height="14" viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" />
    </svg>
  );
}
