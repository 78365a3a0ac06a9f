export type Theme = 'system' | 'light' | 'dark';

const KEY = 'flotilla-theme';

function stored(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'light' || value === 'dark' ? value : 'system';
  } catch {
    // A browser may forbid storage; then the choice lasts as long as the page.
    return 'system';
  }
}

class ThemeChoice {
  choice = $state<Theme>(stored());

  set(choice: Theme): void {
    this.choice = choice;
    this.apply();
    try {
      localStorage.setItem(KEY, choice);
    } catch {
      // As above.
    }
  }

  next(): void {
    this.set(this.choice === 'system' ? 'light' : this.choice === 'light' ? 'dark' : 'system');
  }

  apply(): void {
    if (this.choice === 'system') document.documentElement.removeAttribute('data-theme');
    else document.documentElement.dataset['theme'] = this.choice;
  }
}

export const theme = new ThemeChoice();
