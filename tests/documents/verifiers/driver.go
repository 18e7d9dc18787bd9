package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"os"
	"strings"

	"example/webhooks"
)

func main() {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fields := strings.Split(lines.Text(), "\t")
		var t [6]string
		for i, field := range fields[1:] {
			decoded, _ := base64.StdEncoding.DecodeString(field)
			t[i] = string(decoded)
		}
		if fields[0] == "signature" {
			fmt.Println(webhooks.VerifySignature([]byte(t[0]), t[1], t[2]))
		} else {
			fmt.Println(webhooks.VerifyWebhook([]byte(t[0]), t[1], t[2], t[3], t[4]))
		}
	}
}
