package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"syscall"
)

// store keeps one file per basket. Several instances use the same folder: a change holds the
// basket's lock file, and replaces the basket by a rename, so that a reader sees the old or the
// new one and never half of it.
type store struct{ dir string }

func (s store) read(account int) (map[string]int, error) {
	items := map[string]int{}
	text, err := os.ReadFile(s.path(account, "json"))
	if errors.Is(err, fs.ErrNotExist) {
		return items, nil
	}
	if err != nil {
		return nil, err
	}
	return items, json.Unmarshal(text, &items)
}

func (s store) change(account int, change func(map[string]int) error) error {
	lock, err := os.OpenFile(s.path(account, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close() // which also unlocks
	if err := flock(lock); err != nil {
		return err
	}
	items, err := s.read(account)
	if err != nil {
		return err
	}
	if err := change(items); err != nil {
		return err
	}
	text, err := json.Marshal(items)
	if err != nil {
		return err
	}
	// The lock is ours, so nobody else writes to this name.
	draft := s.path(account, "new")
	if err := writeSynced(draft, text); err != nil {
		return err
	}
	return os.Rename(draft, s.path(account, "json"))
}

func (s store) path(account int, extension string) string {
	return filepath.Join(s.dir, fmt.Sprintf("%d.%s", account, extension))
}

func flock(file *os.File) error {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func writeSynced(path string, text []byte) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}

func sortedKeys(items map[string]int) []string {
	keys := make([]string, 0, len(items))
	for key := range items {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
