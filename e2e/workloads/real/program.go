// Go: goroutines, maps, sorting with a comparison, regular expressions, JSON, hashing, garbage.
package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"sort"
	"strings"
	"sync"
)

type node struct {
	Left, Right *node
	Value       int
}

func build(depth, value int) *node {
	if depth == 0 {
		return &node{Value: value}
	}
	return &node{build(depth-1, value*2), build(depth-1, value*2+1), value}
}

func (n *node) sum() int {
	if n == nil {
		return 0
	}
	return n.Value + n.Left.sum() + n.Right.sum()
}

func work(id int) string {
	seen := map[string]int{}
	for i := 0; i < 300000; i++ {
		seen[fmt.Sprintf("w%d", i*7919%5003)]++
	}
	keys := make([]string, 0, len(seen))
	for key := range seen {
		keys = append(keys, key)
	}
	sort.Slice(keys, func(a, b int) bool { return seen[keys[a]] > seen[keys[b]] || keys[a] < keys[b] })
	text := strings.Repeat("word12, number 34. ", 20000)
	found := len(regexp.MustCompile(`(\w+)(\d)[, ]+number (\d+)\.`).FindAllString(text, -1))
	packed, _ := json.Marshal(keys)
	sum := sha256.Sum256([]byte(strings.Repeat(text, 20)))
	return fmt.Sprint(id, keys[0], found, len(packed), sum[0], build(16, 1).sum())
}

func main() {
	for round := 0; round < 3; round++ {
		var group sync.WaitGroup
		for id := 0; id < 4; id++ {
			group.Add(1)
			go func() {
				defer group.Done()
				fmt.Println(work(id))
			}()
		}
		group.Wait()
	}
}
